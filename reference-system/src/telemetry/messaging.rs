//! The spans of an event on its way: created with a change, sent to the broker, processed by each consumer, and its effect.
//!
//! Names and attributes are those of <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>. Payloads are not in
//! them: they tell of customers.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanBuilder, SpanKind, TraceContextExt};

use crate::event::Event;
use crate::ports::broker::{Message, header};

use super::{Context, Telemetry};

/// What is done to a message, as `messaging.operation.type` names it.
#[derive(Clone, Copy)]
enum Operation {
    Create,
    Send,
    Process,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Send => "send",
            Self::Process => "process",
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            Self::Create | Self::Send => SpanKind::Producer,
            Self::Process => SpanKind::Consumer,
        }
    }

    fn on(self, broker: &'static str, topic: &str) -> SpanBuilder {
        SpanBuilder::from_name(format!("{} {topic}", self.name()))
            .with_kind(self.kind())
            .with_attributes([
                KeyValue::new("messaging.system", broker),
                KeyValue::new("messaging.operation.name", self.name()),
                KeyValue::new("messaging.operation.type", self.name()),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
            ])
    }
}

/// An event is written down with the change that it announces.
pub(crate) fn create(broker: &'static str, event: &Event) -> SpanBuilder {
    let span = Operation::Create.on(broker, &event.topic);
    of_message(
        span,
        &event.id.to_string(),
        &event.event_type,
        &event.correlation_id,
    )
}

impl Telemetry {
    /// A message is handed to the broker.
    pub(super) fn send(&self, message: &Message) -> SpanBuilder {
        of_headers(Operation::Send.on(self.broker(), &message.topic), message)
    }

    /// A consumer group has a message in hand.
    pub(crate) fn process(&self, parent: &Context, group: &str, message: &Message) -> Context {
        let span = Operation::Process.on(self.broker(), &message.topic);
        let mut span = of_headers(span, message);
        let group = KeyValue::new("messaging.consumer.group.name", group.to_owned());
        span.attributes.get_or_insert_default().push(group);
        self.span(parent, span)
    }

    /// Rows of an outbox are sent one after the other; each is a span of its own trace, which this one is linked to.
    pub(crate) fn pass(&self, rows: impl Iterator<Item = Context>) -> Context {
        if self.0.is_none() {
            return Context::new();
        }
        let links = rows.map(|row| Link::with_context(row.span().span_context().clone()));
        let span = SpanBuilder::from_name("relay pass").with_links(links.collect());
        self.span(&Context::new(), span)
    }
}

/// An effect is booked, with what announces it.
pub(crate) fn effect(consumer: &str) -> SpanBuilder {
    SpanBuilder::from_name(format!("effect {consumer}")).with_kind(SpanKind::Internal)
}

/// An event is written down, below the current span.
pub(crate) fn created(event: &Event) -> Context {
    let parent = Context::current();
    let telemetry = super::of_task(&parent);
    telemetry.span(&parent, create(telemetry.broker(), event))
}

fn of_headers(span: SpanBuilder, message: &Message) -> SpanBuilder {
    let header = |name| message.headers.get(name).map_or("", String::as_str);
    of_message(
        span,
        header(header::EVENT_ID),
        header(header::EVENT_TYPE),
        header(header::CORRELATION_ID),
    )
}

fn of_message(mut span: SpanBuilder, id: &str, event_type: &str, flow: &str) -> SpanBuilder {
    let attributes = span.attributes.get_or_insert_default();
    attributes.extend([
        KeyValue::new("messaging.message.id", id.to_owned()),
        KeyValue::new("messaging.message.conversation_id", flow.to_owned()),
        KeyValue::new("cloudevents.event_type", event_type.to_owned()),
    ]);
    span
}
