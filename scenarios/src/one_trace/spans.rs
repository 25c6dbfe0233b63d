//! What the collector was sent: the spans in OTLP's JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
//!
//! Only what a trace is put together by is read.

use serde_json::Value;
use stormglass::history::History;

use crate::deploy::COLLECTOR;

/// A span as it arrived.
#[derive(Debug)]
pub(super) struct Span<'h> {
    /// The trace that it belongs to.
    pub(super) trace: &'h str,
    /// Its own id.
    pub(super) id: &'h str,
    /// The span that it is below; `None` for a root.
    pub(super) parent: Option<&'h str>,
    /// What was done.
    pub(super) name: &'h str,
    /// The service that did it.
    pub(super) service: &'h str,
    /// The flow, where the span says so.
    pub(super) flow: Option<&'h str>,
    /// The consumer group that had a message in hand.
    pub(super) group: Option<&'h str>,
    /// The message, by its event's id.
    pub(super) message: Option<&'h str>,
    /// Where the history has it.
    pub(super) index: u64,
}

/// Every span that the collector took, in the order in which they arrived.
pub(super) fn exported(history: &History) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    for (index, _, request) in history.ledger(COLLECTOR) {
        for of_resource in items(&request["resourceSpans"]) {
            let service = attribute(&of_resource["resource"], "service.name").unwrap_or("?");
            let scopes = items(&of_resource["scopeSpans"]);
            let own = scopes.flat_map(|scope| items(&scope["spans"]));
            spans.extend(own.filter_map(|span| read(span, service, index)));
        }
    }
    spans
}

fn read<'h>(span: &'h Value, service: &'h str, index: u64) -> Option<Span<'h>> {
    let text = |name: &str| span[name].as_str().filter(|text| !text.is_empty());
    let flow = attribute(span, "messaging.message.conversation_id");
    Some(Span {
        trace: text("traceId")?,
        id: text("spanId")?,
        parent: text("parentSpanId"),
        name: text("name").unwrap_or("?"),
        service,
        flow: flow.or_else(|| attribute(span, "shop.correlation_id")),
        group: attribute(span, "messaging.consumer.group.name"),
        message: attribute(span, "messaging.message.id"),
        index,
    })
}

fn attribute<'h>(of: &'h Value, key: &str) -> Option<&'h str> {
    let mut attributes = items(&of["attributes"]);
    let found = attributes.find(|own| own["key"] == key)?;
    found["value"]["stringValue"].as_str()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
