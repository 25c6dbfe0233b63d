//! Fat events: whatever another pattern publishes, with the whole entity in it.
//!
//! Consumers need not ask for anything. But the event's schema is the owner's own, column by column: whenever that changes, the event is in another
//! version, and who reads it has to be changed first, whether or not the change is of any interest there. It is here to be compared with
//! hybrid and [thin](super::Thin) events.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::event::contract::{Contract, OrderConfirmed, OrderWhole, OrderWholePriced};
use crate::event::{Event, NewEvent};
use crate::publishing::PublishPattern;

/// The entity as its owner has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// Without its total.
    First,
    /// With it.
    Priced,
}

/// Publishes confirmed orders whole, and everything else as it is. Only for patterns that publish what they have recorded.
pub struct Fat {
    /// The pattern.
    pub publishing: Arc<dyn PublishPattern>,
    /// What an order is.
    pub entity: Entity,
}

impl Fat {
    /// The event with the whole order, as it is within the transaction.
    async fn fattened(&self, tx: &mut AnyConnection, event: &Event) -> sqlx::Result<Event> {
        if event.event_type != OrderConfirmed::EVENT_TYPE {
            return Ok(event.clone());
        }
        let whole = whole(tx, &event.entity).await?;
        let new = match self.entity {
            Entity::First => NewEvent::new(&event.entity, whole),
            Entity::Priced => NewEvent::new(&event.entity, OrderWholePriced::from(whole)),
        };
        Ok(Event {
            schema_version: new.schema_version,
            payload: new.payload,
            ..event.clone()
        })
    }
}

impl From<OrderWhole> for OrderWholePriced {
    fn from(order: OrderWhole) -> Self {
        Self {
            total_cents: order.quantity * order.unit_price_cents - order.discount_cents,
            state: order.state,
            customer: order.customer,
            address: order.address,
            sku: order.sku,
            quantity: order.quantity,
            dispatched: order.dispatched,
            unit_price_cents: order.unit_price_cents,
            discount_cents: order.discount_cents,
            version: order.version,
        }
    }
}

async fn whole(tx: &mut AnyConnection, order_id: &str) -> sqlx::Result<OrderWhole> {
    let row: (String, String, String, String, i64, i64, i64, i64, i64) = sqlx::query_as(
        "SELECT state, customer, address, sku, quantity, dispatched, unit_price_cents, \
         discount_cents, version FROM orders WHERE id = $1",
    )
    .bind(order_id)
    .fetch_one(&mut *tx)
    .await?;
    Ok(OrderWhole {
        state: row.0,
        customer: row.1,
        address: row.2,
        sku: row.3,
        quantity: row.4,
        dispatched: row.5,
        unit_price_cents: row.6,
        discount_cents: row.7,
        version: row.8,
    })
}

#[async_trait]
impl PublishPattern for Fat {
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        let mut fat = Vec::with_capacity(events.len());
        for event in events {
            fat.push(self.fattened(tx, event).await?);
        }
        self.publishing.record(tx, &fat).await
    }

    async fn after_commit(&self, events: &[Event]) {
        self.publishing.after_commit(events).await
    }
}
