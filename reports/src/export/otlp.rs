//! A run as traces of OpenTelemetry, in the JSON lines of the OTLP file format: one request a line, one line a host.
//!
//! A span is an event of the history; its parent is the event that it came of, and it lasts until the last event that came of it
//! directly. So a trace is what one cause led to. Log lines are left out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::story::{Fate, Story, StoryEvent};
use crate::timeline::RowKind;

/// The run as lines, each of them a request to a collector.
#[must_use]
pub fn render(story: &Story) -> String {
    let spans = Spans::of(story);
    let mut by_host: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
    for event in story.events.iter().filter(|event| is_told(event)) {
        by_host
            .entry(event.host)
            .or_default()
            .push(spans.span(event));
    }
    let line = |(host, spans): (usize, Vec<Value>)| {
        let name = story.lanes.get(host).map_or("", |lane| lane.name.as_str());
        let request = json!({"resourceSpans": [{
            "resource": {"attributes": [text("service.name", name)]},
            "scopeSpans": [{"scope": {"name": "stormglass", "version": story.code_version}, "spans": spans}],
        }]});
        request.to_string() + "\n"
    };
    by_host.into_iter().map(line).collect()
}

fn is_told(event: &StoryEvent) -> bool {
    event.kind != RowKind::Log
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// What a span needs to know of other events.
struct Spans {
    seed: u64,
    /// The first event of each one's trace.
    roots: BTreeMap<u64, u64>,
    /// When the last direct effect of an event was.
    ends: BTreeMap<u64, u64>,
}

impl Spans {
    fn of(story: &Story) -> Self {
        let mut spans = Spans {
            seed: story.failure.seed,
            roots: BTreeMap::new(),
            ends: BTreeMap::new(),
        };
        for event in story.events.iter().filter(|event| is_told(event)) {
            // Causes come before their effects, so their roots are known.
            let root = event.cause.and_then(|cause| spans.roots.get(&cause));
            let root = root.copied().unwrap_or(event.index);
            spans.roots.insert(event.index, root);
            if let Some(cause) = event.cause {
                let end = spans.ends.entry(cause).or_default();
                *end = event.at_ns.max(*end);
            }
        }
        spans
    }

    fn span(&self, event: &StoryEvent) -> Value {
        let root = self.roots.get(&event.index).copied().unwrap_or(event.index);
        let end = self.ends.get(&event.index).copied().unwrap_or_default();
        let mut span = json!({
            "traceId": format!("{:016x}{:016x}", self.seed, root + 1),
            "spanId": span_id(event.index),
            "name": event.text,
            "kind": kind(event),
            "startTimeUnixNano": event.at_ns.to_string(),
            "endTimeUnixNano": end.max(event.at_ns).to_string(),
            "attributes": [text("stormglass.kind", &event.kind.to_string())],
            "status": {},
        });
        if let Some(cause) = event.cause.filter(|cause| self.roots.contains_key(cause)) {
            span["parentSpanId"] = span_id(cause).into();
        }
        span
    }
}

/// Not all zeros, which the specification forbids.
fn span_id(index: u64) -> String {
    format!("{:016x}", index + 1)
}

/// By OTLP's numbers: internal 1, client 3, producer 4, consumer 5.
fn kind(event: &StoryEvent) -> u8 {
    match (event.arrow.map(|arrow| arrow.fate), event.kind) {
        (Some(Fate::Published | Fate::Lost), _) => 4,
        (Some(_), _) => 5,
        (None, RowKind::Operation | RowKind::External) => 3,
        (None, _) => 1,
    }
}
