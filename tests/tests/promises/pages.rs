//! Pages: the story of a planted defect as a browser gets it, and its run in the formats of other viewers.
//!
//! The pages stay in `target/tmp/pages`, where `tests/browser/run` opens and uses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::Value;
use stormglass::artefact::{Artefact, Replay};
use stormglass::narrate;
use stormglass_reports::export::{chrome, otlp, shiviz};
use stormglass_reports::story::Fate;
use stormglass_reports::{RowKind, Story};
use stormglass_tests::defects::Defect;

use super::defects::KEPT;

/// A defect of each sort of story: an effect twice, an event lost, a dead letter astray.
const TOLD: [&str; 3] = ["no-dedup", "publish-after-commit", "drop-after-retries"];

fn story_of(defect: &str) -> Story {
    let kept = Path::new(KEPT).join(format!("{defect}.json"));
    let artefact = Artefact::read(&kept).expect("it is kept");
    let system = Defect::find(defect).expect("it is planted").system();
    let Replay::Same(run) = artefact.replay(&system).expect("it runs") else {
        panic!("{defect} has become another run");
    };
    let (property, witness) = (&artefact.property, &artefact.witness);
    let mut failure = narrate::failure(&system, &artefact.plan, &run, property, witness);
    failure.replay_command = format!("stormglass replay {}", kept.display());
    narrate::story(&system, &failure, &run, witness).expect("it is told")
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).expect("target is writable");
    folder
}

#[test]
fn a_planted_defect_is_told_from_the_first_operation_to_what_it_broke() {
    for defect in TOLD {
        let story = story_of(defect);
        let sentences = story.sentences.len();
        assert!((5..=12).contains(&sentences), "{defect}: {sentences}");
        let told: Vec<u64> = story.sentences.iter().filter_map(|own| own.index).collect();
        let (_, way) = told.split_last().expect("a story has an end");
        assert!(way.is_sorted(), "{defect}: {told:?}");
        assert_eq!(story.removals.len(), story.failure.faults.len(), "{defect}");
        let nearest = story
            .nearest
            .as_ref()
            .expect("without its fault it is not broken");
        let (one, other) = (nearest.failing.first(), nearest.passing.first());
        assert_ne!(one, other, "{defect} parts where nothing is seen to differ");
        let is_own = |line: &String| line.contains("faults lifted");
        assert!(
            !one.into_iter().chain(other).any(is_own),
            "{defect}: {nearest:#?}"
        );
        let same_names = story.journey.iter().flat_map(|own| &own.names);
        for name in same_names {
            let told = story.failure.names.iter().find(|own| own.id == name.id);
            assert!(
                told.is_none_or(|own| own.name == name.name),
                "{defect}: {name:?}"
            );
        }
        assert!(story.journey.is_some(), "{defect}");
        assert!(
            story.series.iter().any(|own| !own.points.is_empty()),
            "{defect}"
        );
        let cone = story.events.iter().filter(|own| own.in_cone).count();
        assert!(cone > 0 && cone < story.events.len(), "{defect}: {cone}");
        let page = story.page();
        assert_eq!(
            page,
            story_of(defect).page(),
            "{defect} is told in two ways"
        );
        let file = folder().join(format!("story-{defect}.html"));
        std::fs::write(file, page).expect("target is writable");
    }
}

#[test]
fn every_cause_is_before_its_effect() {
    let story = story_of("no-dedup");
    for event in &story.events {
        assert!(event.cause.is_none_or(|cause| cause < event.index));
        assert!(event.lane < story.lanes.len() && event.host < story.lanes.len());
    }
    let delivered = story
        .events
        .iter()
        .filter(|event| event.arrow.is_some_and(|arrow| arrow.fate == Fate::Again));
    assert!(delivered.count() > 0, "a duplicate is delivered again");
}

#[test]
fn chrome_gets_whole_slices_and_paired_flows() {
    let document: Value =
        serde_json::from_str(&chrome::render(&story_of("no-dedup"))).expect("JSON");
    let events = document["traceEvents"].as_array().expect("a list");
    let mut open: BTreeMap<(String, u64), i64> = BTreeMap::new();
    for event in events {
        let ph = event["ph"].as_str().expect("a phase");
        assert!(event["pid"].is_u64() && event["tid"].is_u64() && event["name"].is_string());
        assert!(
            ph == "M" || event["ts"].as_f64().is_some_and(|ts| ts >= 0.0),
            "{event}"
        );
        let by = match ph {
            "M" | "X" => 0,
            "s" | "b" => 1,
            "f" | "e" => -1,
            other => panic!("{other}"),
        };
        if by != 0 {
            let name = if matches!(ph, "s" | "f") {
                "flow"
            } else {
                "fault"
            };
            let id = event["id"].as_u64().expect("an id");
            *open.entry((name.to_owned(), id)).or_default() += by;
        }
        assert!(ph != "X" || event["dur"].as_f64().is_some_and(|dur| dur > 0.0));
    }
    assert!(
        !open.is_empty() && open.values().all(|left| *left == 0),
        "{open:?}"
    );
}

#[test]
fn otlp_lines_are_requests_whose_traces_are_trees() {
    let text = otlp::render(&story_of("no-dedup"));
    let mut parents = BTreeMap::new();
    for line in text.lines() {
        let request: ExportTraceServiceRequest = serde_json::from_str(line).expect("a request");
        for spans in &request.resource_spans[0].scope_spans {
            for span in &spans.spans {
                assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
                assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
                let own = (span.trace_id.clone(), span.span_id.clone());
                assert!(parents.insert(own, span.parent_span_id.clone()).is_none());
            }
        }
    }
    for ((trace, _), parent) in &parents {
        let known = parents.contains_key(&(trace.clone(), parent.clone()));
        assert!(parent.is_empty() || known, "a parent is of the same trace");
    }
    assert!(parents.values().any(|parent| !parent.is_empty()));
}

#[test]
fn shiviz_gets_clocks_that_grow_and_know_what_was_sent() {
    let story = story_of("no-dedup");
    let text = shiviz::render(&story);
    let lines: Vec<&str> = text.lines().collect();
    let mut clocks = Vec::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for pair in lines.chunks(2) {
        let (host, clock) = pair[1].split_once(' ').expect("a host and a clock");
        let clock: BTreeMap<String, u64> = serde_json::from_str(clock).expect("a clock is JSON");
        let before = last.insert(host, clock[host]).unwrap_or(0);
        assert_eq!(clock[host], before + 1);
        clocks.push(clock);
    }
    let told: Vec<_> = story
        .events
        .iter()
        .filter(|own| own.kind != RowKind::Log)
        .collect();
    assert_eq!(told.len(), clocks.len());
    let place = |index: u64| {
        told.binary_search_by_key(&index, |own| own.index)
            .expect("told")
    };
    let arrived = told.iter().enumerate().filter_map(|(place, event)| {
        let arrow = event.arrow?;
        matches!(arrow.fate, Fate::Delivered | Fate::Again | Fate::Delayed)
            .then_some((place, arrow.from))
    });
    for (to, from) in arrived {
        let (sent, got) = (&clocks[place(from)], &clocks[to]);
        assert!(
            sent.iter()
                .all(|(host, count)| got.get(host) >= Some(count))
        );
    }
}
