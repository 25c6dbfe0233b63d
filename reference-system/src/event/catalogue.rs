//! The catalogue: every type of event with its versions, their JSON Schemas, its topic and its producer.
//!
//! It is made from the contracts themselves, so that it cannot say anything else than they do. Who consumes what is for the
//! consumers to say.

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::Value;

use crate::saga::commands::CUES;

use super::contract::{
    AuthorisationAnswered, AuthorisationAsked, CancelOrder, Contract, OrderCancelled,
    OrderConfirmed, OrderConfirmedThin, OrderPlaced, OrderPlacedV1, OrderReaddressed, OrderTracked,
    OrderWhole, OrderWholePriced, PaymentCaptured, PaymentDeclined, PaymentRefunded,
    RefundRequested, ShipmentDispatched, StockRejected, StockReleased, StockReserved, topic,
};

/// One type of event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The type, which is also the subject of its schemas in a registry.
    pub event_type: &'static str,
    /// The service that publishes it.
    pub producer: &'static str,
    /// Where to.
    pub topic: &'static str,
    /// Its versions, the oldest first.
    pub versions: Vec<Version>,
}

/// One version of a type of event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// The number that the events carry.
    pub version: u32,
    /// The JSON Schema of the data.
    pub schema: Value,
}

/// Every type of event.
#[must_use]
pub fn catalogue() -> &'static [Entry] {
    static ALL: LazyLock<Vec<Entry>> = LazyLock::new(all);
    &ALL
}

fn all() -> Vec<Entry> {
    let mut placed = entry::<OrderPlacedV1>();
    placed.versions.push(version::<OrderPlaced>());
    let mut confirmed = entry::<OrderConfirmed>();
    let forms = [
        version::<OrderConfirmed>(),
        version::<OrderConfirmedThin>(),
        version::<OrderWhole>(),
        version::<OrderWholePriced>(),
    ];
    confirmed.versions = (1..=forms.len())
        .map(|known| either(&forms[..known]))
        .collect();
    let mut all = vec![
        placed,
        confirmed,
        entry::<OrderReaddressed>(),
        entry::<RefundRequested>(),
        entry::<OrderCancelled>(),
        entry::<StockReserved>(),
        entry::<StockRejected>(),
        entry::<StockReleased>(),
        entry::<PaymentCaptured>(),
        entry::<PaymentDeclined>(),
        entry::<PaymentRefunded>(),
        entry::<ShipmentDispatched>(),
        entry::<OrderTracked>(),
        entry::<AuthorisationAsked>(),
        entry::<AuthorisationAnswered>(),
        entry::<CancelOrder>(),
    ];
    let commands: Vec<Entry> = CUES.iter().filter_map(|cue| commanded(cue, &all)).collect();
    all.extend(commands);
    all
}

/// A command that carries the data of an event.
fn commanded((command, cue): &(&'static str, &str), events: &[Entry]) -> Option<Entry> {
    let cue = events.iter().find(|entry| entry.event_type == *cue)?;
    Some(Entry {
        event_type: command,
        producer: producer_of(topic::COMMANDS),
        topic: topic::COMMANDS,
        versions: cue.versions.clone(),
    })
}

/// The types that `producer` publishes.
#[must_use]
pub fn published_by(producer: &str) -> Vec<Entry> {
    let entries = catalogue().iter();
    let own = entries.filter(|entry| entry.producer == producer);
    own.cloned().collect()
}

fn entry<C: Contract>() -> Entry {
    Entry {
        event_type: C::EVENT_TYPE,
        producer: producer_of(C::TOPIC),
        topic: C::TOPIC,
        versions: vec![version::<C>()],
    }
}

fn version<C: Contract>() -> Version {
    Version {
        version: C::SCHEMA_VERSION,
        schema: C::schema(),
    }
}

/// The version in which data is of any of these forms, the last of which is new, as the producer is told to write it.
fn either(forms: &[Version]) -> Version {
    match forms {
        [only] => only.clone(),
        _ => Version {
            version: forms.last().map_or(1, |new| new.version),
            schema: serde_json::json!({
                "oneOf": forms.iter().map(|form| &form.schema).collect::<Vec<_>>(),
            }),
        },
    }
}

/// The only service that publishes to a topic.
fn producer_of(topic: &'static str) -> &'static str {
    match topic {
        topic::ORDERS => "order",
        topic::INVENTORY => "inventory",
        topic::PAYMENTS => "payment",
        topic::SHIPMENTS => "shipping",
        topic::ACTIVITY | topic::QUESTIONS => "gateway",
        topic::ANSWERS => "customers",
        topic::COMMANDS => "saga",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::consumer::Handler;
    use crate::inventory::Stockkeeping;
    use crate::notification::Notifying;
    use crate::order::OrderLifecycle;
    use crate::payment::Charging;
    use crate::ports::card_processor::SandboxCardProcessor;
    use crate::ports::mailer::LoggingMailer;
    use crate::registry::compatibility::{Mode, Schema};
    use crate::saga::{Limits, Orchestrator, TimedLifecycle};
    use crate::shipping::Dispatching;

    #[test]
    fn every_type_that_somebody_handles_is_listed_once_with_its_topic() {
        let handlers: [&dyn Handler; 7] = [
            &OrderLifecycle,
            &Stockkeeping,
            &Charging::new(Arc::new(SandboxCardProcessor::default())),
            &Dispatching,
            &Notifying::new(Arc::new(LoggingMailer::default())),
            &TimedLifecycle(Limits::default()),
            &Orchestrator(Limits::default()),
        ];
        let catalogue = catalogue();
        let types: BTreeSet<_> = catalogue.iter().map(|entry| entry.event_type).collect();
        assert_eq!(types.len(), catalogue.len());
        for handler in handlers {
            for handled in handler.handles() {
                let entry = catalogue.iter().find(|entry| entry.event_type == *handled);
                let entry = entry.unwrap_or_else(|| panic!("{handled} is not listed"));
                assert!(handler.topics().contains(&entry.topic), "{handled}");
            }
        }
    }

    #[test]
    fn versions_are_numbered_from_one_and_each_reads_all_before_it() {
        for entry in catalogue() {
            let numbers: Vec<u32> = entry.versions.iter().map(|own| own.version).collect();
            let expected: Vec<u32> = (1..).take(numbers.len()).collect();
            assert_eq!(numbers, expected, "{}", entry.event_type);
            let schemas = entry.versions.iter();
            let schemas: Vec<Schema> = schemas
                .map(|own| Schema::parse(&own.schema.to_string()).unwrap())
                .collect();
            for (nth, schema) in schemas.iter().enumerate() {
                let differences = Mode::BackwardTransitive.check(schema, &schemas[..nth]);
                assert!(
                    differences.is_empty(),
                    "{}: {differences:?}",
                    entry.event_type
                );
            }
        }
    }

    #[test]
    fn a_schema_says_what_the_data_is() {
        let order = OrderPlaced::schema();
        assert_eq!(order["title"], "order.placed");
        assert_eq!(order["additionalProperties"], false);
        let discount = &order["properties"]["discount_cents"];
        assert_eq!(discount["type"], "integer");
        assert_eq!(discount["default"], 0);
        assert_eq!(
            discount["description"],
            "What a voucher takes off the whole, in cents."
        );
        assert_eq!(order["properties"]["sku"]["type"], "string");
        assert!(order["properties"]["sku"].get("default").is_none());
        assert_eq!(order["required"].as_array().unwrap().len(), 7);
    }
}
