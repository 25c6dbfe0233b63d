//! Reading fat events: a handler that takes what it needs out of the whole entity.
//!
//! It reads the entity's schema strictly, as it knows it. An entity of a later version is not read at all.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::database::Database;
use crate::event::contract::{Contract, OrderConfirmed, OrderWhole};
use crate::event::{DecodeError, Event, NewEvent};

use super::{Effect, Failure, Handler, Prepared};

/// A handler of confirmed orders that come whole.
pub struct ReadingWhole(pub Box<dyn Handler>);

/// The event as a hybrid one would have been, if it carries the whole order in the version that is known here.
fn read(event: &Event) -> Result<Event, DecodeError> {
    let is_whole = event.event_type == OrderWhole::EVENT_TYPE
        && event.schema_version == OrderWhole::SCHEMA_VERSION;
    if !is_whole {
        return Ok(event.clone());
    }
    let order: OrderWhole = event.data()?;
    let needed = NewEvent::new(&event.entity, OrderConfirmed::from(order));
    Ok(Event {
        schema_version: needed.schema_version,
        payload: needed.payload,
        ..event.clone()
    })
}

impl From<OrderWhole> for OrderConfirmed {
    fn from(order: OrderWhole) -> Self {
        Self {
            total_cents: order.quantity * order.unit_price_cents - order.discount_cents,
            customer: order.customer,
            address: order.address,
            version: order.version,
            sku: order.sku,
            quantity: order.quantity,
        }
    }
}

/// What was prepared for what was read.
struct Read {
    prepared: Box<dyn Prepared>,
    event: Event,
}

#[async_trait]
impl Handler for ReadingWhole {
    fn consumer(&self) -> &'static str {
        self.0.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.0.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.0.handles()
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let event = read(event)?;
        let prepared = self.0.prepare(database, &event).await?;
        Ok(Box::new(Read { prepared, event }))
    }
}

#[async_trait]
impl Prepared for Read {
    async fn apply(self: Box<Self>, tx: &mut AnyConnection, _: &Event) -> Result<Effect, Failure> {
        self.prepared.apply(tx, &self.event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlation::Correlation;
    use crate::event::contract::OrderWholePriced;

    #[test]
    fn what_is_needed_is_taken_out_of_the_whole_and_a_later_version_is_left_unread() {
        let whole = OrderWhole {
            state: "confirmed".to_owned(),
            customer: "ada@example.org".to_owned(),
            address: "Mill Lane 1".to_owned(),
            sku: "tea".to_owned(),
            quantity: 2,
            dispatched: 0,
            unit_price_cents: 300,
            discount_cents: 50,
            version: 2,
        };
        let flow = Correlation::at_ingress(Some("flow"));
        let event = flow.event(NewEvent::new("order-1", whole.clone()));
        let needed: OrderConfirmed = read(&event).unwrap().data().unwrap();
        assert_eq!((needed.total_cents, needed.version), (550, 2));
        let later = flow.event(NewEvent::new("order-1", OrderWholePriced::from(whole)));
        let unread = read(&later).unwrap().data::<OrderConfirmed>();
        assert!(matches!(
            unread,
            Err(DecodeError::SchemaVersion { found: 4, .. })
        ));
    }
}
