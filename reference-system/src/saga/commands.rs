//! Commands: what an orchestrator asks of a service. A command carries the data of the event that is the service's cue in a choreography, so
//! that the service does the same for either.
//!
//! The answer to a command is the event that announces what was done; there are no others.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::event::contract::{event_type, topic};
use crate::event::{Event, NewEvent};

/// Each command with the event whose data it carries.
pub(crate) const CUES: [(&str, &str); 6] = [
    (event_type::RESERVE_STOCK, event_type::ORDER_PLACED),
    (event_type::RELEASE_STOCK, event_type::ORDER_CANCELLED),
    (event_type::CHARGE_CARD, event_type::STOCK_RESERVED),
    (event_type::REFUND_CARD, event_type::REFUND_REQUESTED),
    (event_type::CONFIRM_ORDER, event_type::PAYMENT_CAPTURED),
    (event_type::SHIP_ORDER, event_type::ORDER_CONFIRMED),
];

/// A command about the entity of `cue`, with its data.
pub(super) fn command(command: &'static str, cue: &Event) -> NewEvent {
    NewEvent {
        event_type: command,
        schema_version: cue.schema_version,
        topic: topic::COMMANDS,
        entity: cue.entity.clone(),
        payload: cue.payload.clone(),
    }
}

/// What a service is told by commands, and what it still learns from events.
struct Part {
    consumer: &'static str,
    topics: &'static [&'static str],
    handles: &'static [&'static str],
}

/// The services that take commands.
static SERVICES: [Part; 4] = [
    Part {
        consumer: "order",
        topics: &[topic::COMMANDS, topic::SHIPMENTS],
        handles: &[
            event_type::CONFIRM_ORDER,
            event_type::CANCEL_ORDER,
            event_type::SHIPMENT_DISPATCHED,
        ],
    },
    Part {
        consumer: "inventory",
        topics: &[topic::COMMANDS, topic::SHIPMENTS],
        handles: &[
            event_type::RESERVE_STOCK,
            event_type::RELEASE_STOCK,
            event_type::SHIPMENT_DISPATCHED,
        ],
    },
    Part {
        consumer: "payment",
        topics: &[topic::COMMANDS],
        handles: &[event_type::CHARGE_CARD, event_type::REFUND_CARD],
    },
    Part {
        consumer: "shipping",
        topics: &[topic::COMMANDS, topic::ORDERS, topic::SHIPMENTS],
        handles: &[
            event_type::SHIP_ORDER,
            event_type::ORDER_READDRESSED,
            event_type::SHIPMENT_DISPATCHED,
        ],
    },
];

/// The handler as an orchestrator drives it; as it is where it has no part in the saga.
#[must_use]
pub fn commanded(handler: Box<dyn Handler>) -> Box<dyn Handler> {
    let mut services = SERVICES.iter();
    match services.find(|service| service.consumer == handler.consumer()) {
        Some(service) => Box::new(Commanded { handler, service }),
        None => handler,
    }
}

/// A handler that takes commands for the events that they stand for.
struct Commanded {
    handler: Box<dyn Handler>,
    service: &'static Part,
}

/// What was prepared for a command.
struct Carried {
    prepared: Box<dyn Prepared>,
    event: Event,
}

#[async_trait]
impl Handler for Commanded {
    fn consumer(&self) -> &'static str {
        self.service.consumer
    }

    fn topics(&self) -> &'static [&'static str] {
        self.service.topics
    }

    fn handles(&self) -> &'static [&'static str] {
        self.service.handles
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let event = as_cue(event);
        let prepared = self.handler.prepare(database, &event).await?;
        Ok(Box::new(Carried { prepared, event }))
    }
}

#[async_trait]
impl Prepared for Carried {
    async fn apply(self: Box<Self>, tx: &mut AnyConnection, _: &Event) -> Result<Effect, Failure> {
        self.prepared.apply(tx, &self.event).await
    }
}

/// The event that a command stands for; any other event as it is.
fn as_cue(event: &Event) -> Event {
    let mut cues = CUES.iter();
    let cue = cues.find(|(command, _)| *command == event.event_type);
    let event_type = cue.map_or(event.event_type.as_str(), |(_, cue)| cue);
    Event {
        event_type: event_type.to_owned(),
        ..event.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlation::Correlation;
    use crate::event::contract::OrderCancelled;
    use crate::inventory::Stockkeeping;
    use crate::notification::Notifying;
    use crate::ports::mailer::LoggingMailer;

    #[test]
    fn a_command_is_taken_for_its_cue_and_keeps_its_own_id() {
        let data = OrderCancelled {
            customer: "ada@example.org".to_owned(),
            reason: "late".to_owned(),
        };
        let cause = Correlation::at_ingress(Some("flow")).event(NewEvent::new("order-1", data));
        let release = command(event_type::RELEASE_STOCK, &cause);
        assert_eq!(release.topic, topic::COMMANDS);
        let asked = Correlation::caused_by(&cause).event(release);
        let taken = as_cue(&asked);
        assert_eq!(taken.event_type, event_type::ORDER_CANCELLED);
        assert_eq!((taken.id, &taken.payload), (asked.id, &cause.payload));
        assert_eq!(as_cue(&cause), cause);
    }

    #[test]
    fn who_has_no_part_in_the_saga_goes_on_listening_to_events() {
        let stock = commanded(Box::new(Stockkeeping));
        assert!(!stock.topics().contains(&topic::ORDERS));
        let mails = commanded(Box::new(Notifying::new(std::sync::Arc::new(
            LoggingMailer::default(),
        ))));
        assert!(mails.topics().contains(&topic::ORDERS));
    }
}
