//! A run as Chrome's trace events, which Perfetto and chrome://tracing show.
//!
//! By the Trace Event Format: complete events (`X`) on a track for each lane, flow events (`s`, `f`) for messages, asynchronous
//! events (`b`, `e`) for faults, metadata (`M`) for names; times in microseconds.

use serde_json::{Value, json};

use crate::story::{Fate, LaneKind, Story, StoryEvent};

/// An event has no duration; without one, a viewer could not hang a message's arrow on it.
const DURATION_US: u64 = 1;
/// The process that stands for the faults.
const FAULTS: u64 = 4;

/// The run as one JSON document.
#[must_use]
pub fn render(story: &Story) -> String {
    let mut events = names(story);
    events.extend(story.events.iter().map(|event| slice(story, event)));
    events.extend(
        story
            .events
            .iter()
            .filter_map(|event| flow(story, event))
            .flatten(),
    );
    let periods = story.periods.iter().enumerate();
    events.extend(periods.flat_map(|(id, period)| {
        let edge = |ph: &str, at_ns: u64| {
            json!({"name": period.label, "cat": "fault", "ph": ph, "id": id, "pid": FAULTS, "tid": 0, "ts": microseconds(at_ns)})
        };
        [edge("b", period.from_ns), edge("e", period.until_ns)]
    }));
    let document = json!({"displayTimeUnit": "ms", "traceEvents": events});
    document.to_string() + "\n"
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

fn process(kind: LaneKind) -> u64 {
    match kind {
        LaneKind::Host => 1,
        LaneKind::Partition => 2,
        LaneKind::Database => 3,
    }
}

fn names(story: &Story) -> Vec<Value> {
    let processes = [
        (1, "hosts"),
        (2, "partitions"),
        (3, "databases"),
        (FAULTS, "faults"),
    ];
    let process_name = |(pid, name): (u64, &str)| json!({"name": "process_name", "ph": "M", "pid": pid, "tid": 0, "args": {"name": name}});
    let lanes = story.lanes.iter().enumerate().map(|(tid, lane)| {
        json!({"name": "thread_name", "ph": "M", "pid": process(lane.kind), "tid": tid, "args": {"name": lane.name}})
    });
    processes
        .into_iter()
        .map(process_name)
        .chain(lanes)
        .collect()
}

/// The process and the thread of a lane.
fn track(story: &Story, lane: usize) -> (u64, usize) {
    let kind = story.lanes.get(lane).map_or(LaneKind::Host, |own| own.kind);
    (process(kind), lane)
}

fn slice(story: &Story, event: &StoryEvent) -> Value {
    let (pid, tid) = track(story, event.lane);
    json!({
        "name": event.text, "cat": event.kind.to_string(), "ph": "X", "pid": pid, "tid": tid,
        "ts": microseconds(event.at_ns), "dur": DURATION_US, "args": {"index": event.index, "cause": event.cause},
    })
}

/// The arrow of a message that arrived, from its publication on.
fn flow(story: &Story, event: &StoryEvent) -> Option<[Value; 2]> {
    let arrow = event
        .arrow
        .filter(|arrow| !matches!(arrow.fate, Fate::Published | Fate::Lost))?;
    let place = story
        .events
        .binary_search_by_key(&arrow.from, |own| own.index);
    let from = &story.events[place.ok()?];
    let edge = |ph: &str, own: &StoryEvent| {
        let (pid, tid) = track(story, own.lane);
        json!({"name": "message", "cat": "message", "ph": ph, "bp": "e", "id": event.index, "pid": pid, "tid": tid, "ts": microseconds(own.at_ns)})
    };
    Some([edge("s", from), edge("f", event)])
}
