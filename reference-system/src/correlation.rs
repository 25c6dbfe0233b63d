//! The chain that an event belongs to: given at the gateway, carried through every event, call and tracing span.
//!
//! It never makes up a correlation id in the middle of a flow: only [`Correlation::at_ingress`] may.

use uuid::Uuid;

use crate::event::{Event, NewEvent};
use crate::identifiers::new_id;
use crate::telemetry::TraceContext;

/// Longest correlation id that is taken from a caller, in bytes.
const LENGTH_MAX: usize = 128;

/// The place in a chain at which something new happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// The id of the whole flow.
    pub correlation_id: String,
    /// The event that causes what happens next; `None` at the ingress.
    pub causation_id: Option<Uuid>,
}

impl Correlation {
    /// A new flow: under the caller's id where it gave a usable one, otherwise under a new id.
    ///
    /// A usable id has 1 to 128 visible ASCII characters, so that it can be a header and a line in a log.
    pub fn at_ingress(given: Option<&str>) -> Self {
        let usable = given.filter(|id| {
            (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        Self {
            correlation_id: usable.map_or_else(|| new_id().to_string(), str::to_owned),
            causation_id: None,
        }
    }

    /// What `event` causes.
    #[must_use]
    pub fn caused_by(event: &Event) -> Self {
        Self {
            correlation_id: event.correlation_id.clone(),
            causation_id: Some(event.id),
        }
    }

    /// Gives a new event its id and its place in this chain.
    pub fn event(&self, new: NewEvent) -> Event {
        Event {
            id: new_id(),
            event_type: new.event_type.to_owned(),
            schema_version: new.schema_version,
            topic: new.topic.to_owned(),
            entity: new.entity,
            correlation_id: self.correlation_id.clone(),
            causation_id: self.causation_id,
            trace: TraceContext::current(),
            payload: new.payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::contract::StockReleased;

    #[test]
    fn takes_a_usable_id_from_the_caller_and_replaces_any_other() {
        let long = "x".repeat(129);
        for (given, taken) in [
            (Some("abc-789"), true),
            (Some(""), false),
            (Some("two words"), false),
            (Some(long.as_str()), false),
            (None, false),
        ] {
            let correlation = Correlation::at_ingress(given);
            assert_eq!(given == Some(correlation.correlation_id.as_str()), taken);
        }
    }

    #[test]
    fn an_effect_keeps_the_flow_and_names_its_cause() {
        let released = || StockReleased {
            sku: "tea".to_owned(),
            quantity: 1,
        };
        let ingress = Correlation::at_ingress(Some("flow"));
        let cause = ingress.event(NewEvent::new("o", released()));
        assert_eq!(cause.causation_id, None);
        let chain = Correlation::caused_by(&cause);
        let effect = chain.event(NewEvent::new("o", released()));
        assert_eq!(effect.correlation_id, "flow");
        assert_eq!(effect.causation_id, Some(cause.id));
        assert_ne!(effect.id, cause.id);
    }
}
