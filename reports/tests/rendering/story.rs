//! The page of a story: what is read without a script, hostile texts, and a run that is very long.

use std::path::Path;

use stormglass_reports::story::{
    Arrow, Fate, Form, Lane, LaneKind, Nearest, Period, Removal, Sentence, Series, StoryEvent,
};
use stormglass_reports::{RowKind, Story};

use crate::samples;

fn story() -> Story {
    let rows = samples::timeline().rows;
    let hosts = samples::timeline().hosts;
    let lane = |name: &str, kind| Lane {
        name: name.to_owned(),
        kind,
    };
    let mut lanes: Vec<Lane> = hosts.iter().map(|own| lane(own, LaneKind::Host)).collect();
    lanes.push(lane("orders/2", LaneKind::Partition));
    let event = |row: &stormglass_reports::TimelineRow| {
        let host = hosts.iter().position(|own| *own == row.host).unwrap_or(0);
        StoryEvent {
            index: row.index,
            at_ns: row.at_ns,
            lane: host,
            host,
            kind: row.kind,
            text: row.text.clone(),
            in_cone: row.emphasis || row.kind == RowKind::Fault,
            is_proof: row.emphasis,
            cause: None,
            arrow: (row.index == 702).then_some(Arrow {
                from: 702,
                lane: 5,
                fate: Fate::Published,
            }),
        }
    };
    let events: Vec<StoryEvent> = rows.iter().map(event).collect();
    Story {
        failure: samples::lost_order(),
        promise: "every committed event reaches every group that wants it".to_owned(),
        code_version: "0.1.0".to_owned(),
        sentences: vec![
            Sentence {
                index: None,
                text: "The run has 1 operation and 2 faults.".to_owned(),
            },
            Sentence {
                index: Some(703),
                text: "At 3.102 s relay: crash before it marked rows as sent.".to_owned(),
            },
        ],
        lanes,
        logs: events
            .iter()
            .filter(|own| own.kind == RowKind::Log)
            .cloned()
            .collect(),
        events,
        periods: vec![Period {
            label: "relay is down".to_owned(),
            from_ns: 3_102_000_000,
            until_ns: 3_600_000_000,
            lane: Some(2),
        }],
        removals: vec![Removal {
            fault: "lose ack".to_owned(),
            outcome: "✓ holds".to_owned(),
        }],
        nearest: Some(Nearest {
            how: "It has the same plan without the fault “lose ack”.".to_owned(),
            index: 704,
            before: vec!["3.102 s relay crash".to_owned()],
            failing: vec!["3.118 s broker lose ack".to_owned()],
            passing: vec!["3.118 s relay publish acknowledged".to_owned()],
        }),
        journey: None,
        series: vec![Series {
            title: "committed and not yet published".to_owned(),
            unit: "events".to_owned(),
            form: Form::Steps,
            points: vec![(2_951_999_999, 1), (3_090_100_000, 0)],
        }],
        end_ns: 61_000_000_000,
    }
}

/// What the page says, without the style and the script that all pages share.
fn body(page: &str) -> &str {
    let (_, body) = page.split_once("<body>").expect("a page has a body");
    let end = body.rfind("<script>").expect("a page has a script");
    &body[..end]
}

#[test]
fn a_story_as_a_page() {
    let page = story().page();
    assert_eq!(page, story().page());
    insta::assert_snapshot!(body(&page).replace("><", ">\n<"));
}

#[test]
fn hostile_texts_are_escaped_cut_and_made_visible() {
    let mut story = story();
    let hostile = format!(
        "</script><img src=x onerror=alert(1)>\u{202e}\u{0}{}",
        "megabytes ".repeat(300_000)
    );
    story.failure.promise_broken.clone_from(&hostile);
    story.sentences[0].text.clone_from(&hostile);
    story.events[1].text.clone_from(&hostile);
    story.lanes[0].name = "<b>host</b>\u{202e}".to_owned();
    story.failure.test.clone_from(&hostile);
    story.failure.others = vec![hostile.clone()];
    story.promise.clone_from(&hostile);
    story.periods[0].label.clone_from(&hostile);
    let page = story.page();
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(!page.contains("<img") && !page.contains("<b>host"));
    assert!(!page.contains(['\u{202e}', '\u{0}']));
    assert_eq!(
        page.matches("</script>").count(),
        2,
        "of the data and of the script"
    );
    assert!(page.contains("characters more)"));
}

/// A hundred thousand events over twelve lanes; the page stays for `tests/browser/run`.
#[test]
fn a_hundred_thousand_events_fit() {
    let mut story = story();
    let lanes = (0..12).map(|own| Lane {
        name: format!("host-{own}"),
        kind: LaneKind::Host,
    });
    story.lanes = lanes.collect();
    let event = |index: u64| {
        let host = usize::try_from(index % 12).expect("small");
        StoryEvent {
            index,
            at_ns: index * 600_000,
            lane: host,
            host,
            kind: [RowKind::Broker, RowKind::Database, RowKind::Log][host % 3],
            text: format!(
                "consumer-{host} applied event {index:032x} to order-{}",
                index / 7
            ),
            in_cone: index.is_multiple_of(1_000),
            is_proof: index == 90_000,
            cause: index.checked_sub(7),
            arrow: (index.is_multiple_of(3) && index > 12).then(|| Arrow {
                from: index - 12,
                lane: host,
                fate: Fate::Delivered,
            }),
        }
    };
    story.events = (0..100_000).map(event).collect();
    story.failure.index = Some(90_000);
    let page = story.page();
    assert!(page.len() <= 5_000_000, "{}", page.len());
    assert!(page.contains("were left out of this file"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).expect("target is writable");
    std::fs::write(folder.join("big.html"), page).expect("target is writable");
}
