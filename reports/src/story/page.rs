//! The page of a story, from top to bottom: verdict, story, timeline, cause and effect, the entity's way, figures.
//!
//! Everything but the timeline is there without a script.

use maud::{Markup, html};

use super::chart::chart;
use super::columns::{Columns, cut};
use super::{LaneKind, Nearest, Story, StoryEvent};
use crate::failure::CauseLine;
use crate::figures::instant;
use crate::html::{Page, data};
use crate::timeline::TimelineRow;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// So many events of the cone are listed; a witness of a long run may have thousands.
const CONE_MAX: usize = 200;
/// So many faults, and so many operations, are listed as the cause; a plan that was not shrunk has dozens.
const CAUSES_MAX: usize = 24;
/// So many log lines of the entity are listed.
const LOGS_MAX: usize = 100;

/// The story as one HTML file.
pub(super) fn render(story: &Story) -> String {
    let failure = &story.failure;
    let title = format!("{}: {} broken", cut(&failure.test), cut(&failure.property));
    let page = Page {
        title: &title,
        style: STYLE,
        body: html! {
            (verdict(story))
            (sentences(story))
            (timeline(story))
            (cause(story))
            (journey(story))
            (figures(story))
        },
        script: SCRIPT,
    };
    page.render()
}

fn verdict(story: &Story) -> Markup {
    let failure = &story.failure;
    let digest: String = failure.digest.chars().take(16).collect();
    html! {
        header {
            p class="quiet" { (cut(&failure.test)) ", seed " (crate::seed::text(failure.seed)) }
            h1 { span class="broken" { "✗ " (failure.property) } " broken" }
            p class="lead" { (cut(&failure.promise_broken)) }
            dl {
                @if !story.promise.is_empty() { dt { "promised" } dd { (cut(&story.promise)) } }
                dt { "observed" } dd { (cut(&failure.promise_broken)) (moment(story)) }
                dt { "cause" } dd { (causes(story)) }
                @if !failure.others.is_empty() { dt { "also broken" } dd { (cut(&failure.others.join(", "))) } }
                @if let Some(note) = &failure.note { dt { "note" } dd { (cut(note)) } }
                dt { "replay" } dd {
                    code id="replay" class="command" tabindex="0" { (failure.replay_command) }
                    " " button type="button" id="copy" hidden { "Copy" }
                }
                dt { "run" } dd { "stormglass " (story.code_version) ", digest " code { (digest) } }
            }
        }
    }
}

fn moment(story: &Story) -> Markup {
    let (Some(at_ms), Some(index)) = (story.failure.at_ms, story.failure.index) else {
        return html! {};
    };
    html! { ", at " (instant(at_ms)) " (" (link(index)) ")" }
}

fn causes(story: &Story) -> Markup {
    let failure = &story.failure;
    let item = |sign: &'static str, line: &CauseLine| {
        let at = line.at_ms.map(instant).unwrap_or_default();
        html! { li { (sign) " " (at) " " (brief(&line.what)) @if let Some(detail) = &line.detail { span class="quiet" { " " (cut(detail)) } } } }
    };
    html! {
        @if failure.faults.is_empty() && failure.operations.is_empty() { "none: it takes no fault and no operation" }
        ul class="plain" {
            @for fault in failure.faults.iter().take(CAUSES_MAX) { (item("⚡", fault)) }
            @for operation in failure.operations.iter().take(CAUSES_MAX) { (item("→", operation)) }
            @for (what, all) in [("faults", failure.faults.len()), ("operations", failure.operations.len())] {
                @if all > CAUSES_MAX { li { "… and " (all - CAUSES_MAX) " more " (what) } }
            }
        }
    }
}

/// A text that is read at first sight: the whole of it is in the timeline.
fn brief(text: &str) -> String {
    const LENGTH_MAX: usize = 160;
    let text = cut(text);
    match text.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn link(index: u64) -> Markup {
    html! { a class="event" href=(format!("#e{index}")) { "#" (index) } }
}

fn sentences(story: &Story) -> Markup {
    html! {
        section aria-labelledby="story" {
            h2 id="story" { "Story" }
            ol class="story" {
                @for sentence in &story.sentences {
                    li { (brief(&sentence.text)) @if let Some(index) = sentence.index { " " (link(index)) } }
                }
            }
            @if !story.failure.names.is_empty() {
                details {
                    summary { "What the names stand for" }
                    dl { @for name in &story.failure.names { dt { (cut(&name.name)) } dd { code { (cut(&name.id)) } } } }
                }
            }
        }
    }
}

fn timeline(story: &Story) -> Markup {
    let columns = Columns::of(story);
    html! {
        section aria-labelledby="timeline-heading" {
            h2 id="timeline-heading" { "Timeline" }
            noscript { p { "The timeline needs a script; what caused the failure is listed below without one." } }
            div id="timeline" hidden {
                div class="tools" {
                    label { "Search " input type="search" id="search" autocomplete="off"; }
                    span id="hits" class="quiet" role="status" {}
                    button type="button" id="zoom-in" { "Zoom in" }
                    button type="button" id="zoom-out" { "Zoom out" }
                    button type="button" id="whole" { "Whole run" }
                    button type="button" id="failure" { "Failure" }
                    label { input type="checkbox" id="cone" checked; " dim what did not matter" }
                    label { input type="checkbox" id="logs"; " logs" }
                }
                canvas id="canvas" tabindex="0" role="application" aria-label="Timeline of the run, true to virtual time" aria-describedby="keys" {}
                p id="keys" class="quiet" {
                    "Drag or ← → to move, wheel or + − to zoom, ↑ ↓ for the event before and after, P to pin the selected event "
                    "(two pins give the time between), F for the failure, 0 for the whole run."
                }
                ul class="legend" aria-label="Legend" {
                    li { span class="sign" { "●" } " broker" } li { span class="sign" { "■" } " database" }
                    li { span class="sign" { "▶" } " operation" } li { span class="sign" { "✖" } " fault" }
                    li { span class="sign" { "◆" } " third party" } li { span class="sign" { "·" } " log, run" }
                    li { span class="sign" { "——" } " delivered" } li { span class="sign" { "– –" } " again" }
                    li { span class="sign" { "·····" } " more than 1 s late" } li { span class="sign" { "—×" } " lost or refused" }
                    li { span class="sign shade" { " " } " while a fault lasts" }
                }
                div class="chosen" {
                    p id="selected" aria-live="polite" { "No event is selected." }
                    p id="pins" aria-live="polite" class="quiet" {}
                }
            }
            @if columns.left_out > 0 {
                p class="quiet" { "The texts of " (columns.left_out) " events far from the failure were left out of this file; the replay command shows them." }
            }
            (data("events", &columns))
        }
    }
}

fn cause(story: &Story) -> Markup {
    let cone: Vec<&StoryEvent> = story.events.iter().filter(|event| event.in_cone).collect();
    html! {
        section aria-labelledby="cause" {
            h2 id="cause" { "Cause and effect" }
            @if !story.removals.is_empty() {
                div class="scroll" tabindex="0" role="region" aria-label="The same run without a fault" { table {
                    caption { "The same run without one fault" }
                    thead { tr { th scope="col" { "without" } th scope="col" { (story.failure.property) } } }
                    tbody { @for removal in &story.removals {
                        tr { td { (cut(&removal.fault)) } td { (cut(&removal.outcome)) } }
                    } }
                } }
            }
            @if story.removals.len() < story.failure.faults.len() {
                p class="quiet" { "Only the first " (story.removals.len()) " of " (story.failure.faults.len()) " faults were left out in turn." }
            }
            @if let Some(nearest) = &story.nearest { (parting(nearest)) }
            @if !cone.is_empty() {
                details open[cone.len() <= 40] {
                    summary { "What the failure depends on: " (cone.len()) " of " (story.events.len()) " events" }
                    (rows(story, &cone[cone.len().saturating_sub(CONE_MAX)..]))
                    @if cone.len() > CONE_MAX { p class="quiet" { "The first " (cone.len() - CONE_MAX) " are not listed." } }
                }
            }
        }
    }
}

fn parting(nearest: &Nearest) -> Markup {
    let lines = |sign: &'static str, lines: &[String]| {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("{sign} {}", cut(line)))
            .collect();
        lines.join("\n") + "\n"
    };
    html! {
        h3 { "The nearest run that does not break it" }
        p { (cut(&nearest.how)) " Both runs are the same until event " (link(nearest.index)) "." }
        pre tabindex="0" class="parting" aria-label="Where the two runs part" {
            (lines(" ", &nearest.before))
            span class="minus" { (lines("−", &nearest.failing)) }
            span class="plus" { (lines("+", &nearest.passing)) }
        }
        p class="quiet" { "− this run, + the other run" }
    }
}

fn rows(story: &Story, events: &[&StoryEvent]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Events" { table class="events" {
            thead { tr { th scope="col" class="number" { "event" } th scope="col" class="number" { "time" } th scope="col" { "where" } th scope="col" { "what" } } }
            tbody { @for event in events {
                tr class=[event.is_proof.then_some("proof")] {
                    td class="number" { (link(event.index)) }
                    td class="number" { (instant(event.at_ns / 1_000_000)) }
                    td { (cut(story.lanes.get(event.lane).map_or("", |lane| lane.name.as_str()))) }
                    td { @if event.is_proof { b { "• " } } (cut(&event.text)) }
                }
            } }
        } }
    }
}

fn journey(story: &Story) -> Markup {
    let Some(journey) = &story.journey else {
        return html! {};
    };
    let logs: Vec<&StoryEvent> = story.logs.iter().take(LOGS_MAX).collect();
    html! {
        section aria-labelledby="journey" {
            h2 id="journey" { "The way of " (cut(&journey.entity)) }
            @for hop in &journey.hops {
                div class="hop" style=(format!("margin-left:{}rem", hop.depth.min(8))) {
                    h3 { (cut(&hop.title)) }
                    ul class="plain" { @for row in &hop.rows { (journey_row(row)) } }
                }
            }
            @if !journey.failures.is_empty() {
                h3 { "Where it broke" }
                ul { @for failure in &journey.failures { li { (cut(&failure.replace('`', ""))) } } }
            }
            @if !journey.names.is_empty() {
                details { summary { "Names in this way" }
                    dl { @for name in &journey.names { dt { (cut(&name.name)) } dd { code { (cut(&name.id)) } } } } }
            }
            @if !logs.is_empty() {
                details { summary { "What services logged about it: " (story.logs.len()) " lines" } (rows(story, &logs)) }
            }
        }
    }
}

fn journey_row(row: &TimelineRow) -> Markup {
    html! {
        li {
            span class="quiet mono" { (instant(row.at_ns / 1_000_000)) " " } (link(row.index)) " "
            @if row.emphasis { b { "• " } } (cut(&row.host)) " " (cut(&row.text))
        }
    }
}

fn figures(story: &Story) -> Markup {
    let kinds = |kind: LaneKind| story.lanes.iter().filter(|lane| lane.kind == kind).count();
    html! {
        section aria-labelledby="figures" {
            h2 id="figures" { "Over time" }
            p class="quiet" {
                "Virtual time, " (kinds(LaneKind::Host)) " hosts, " (kinds(LaneKind::Partition)) " partitions, "
                (kinds(LaneKind::Database)) " databases. Shaded: while a fault lasts. What a service keeps to itself is not seen from "
                "outside: a circuit is drawn as what was published lets it be known."
            }
            @for series in story.series.iter().filter(|series| !series.points.is_empty()) {
                (chart(series, &story.periods, story.end_ns))
            }
        }
    }
}
