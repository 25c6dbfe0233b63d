//! `compensation-twice`: stock is given back as often as the cancellation arrives.

use sqlx::AnyConnection;

use reference_system::Database;
use reference_system::Environment;
use reference_system::consumer::{self, Effect, Failure, Handler};
use reference_system::event::contract::{OrderCancelled, StockReleased, event_type};
use reference_system::event::{Event, NewEvent};
use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::inventory::Stockkeeping;
use scenarios::deploy::Processes;

use super::rewired::Rewired;

/// Takes care of repetitions on the way forward, and of none on the way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompensationTwice;

impl Processes for CompensationTwice {
    async fn consume<E: Environment, H: Handler>(&self, environment: E, handler: H) {
        let environment = Rewired::inbox(environment, ForwardOnly);
        consumer::run(environment, GivingBack(handler)).await
    }
}

/// The table `processed_events`, for everything but compensations.
#[derive(Clone, Copy)]
struct ForwardOnly;

impl Inbox for ForwardOnly {
    async fn knows(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event_id: &str,
    ) -> sqlx::Result<bool> {
        ProcessedEvents.knows(tx, consumer, event_id).await
    }

    async fn first_time(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event: &Event,
    ) -> sqlx::Result<bool> {
        match event.event_type.as_str() {
            event_type::ORDER_CANCELLED => Ok(true),
            _ => ProcessedEvents.first_time(tx, consumer, event).await,
        }
    }
}

/// A handler whose compensation does not ask whether anything is still reserved.
struct GivingBack<H>(H);

impl<H: Handler> Handler for GivingBack<H> {
    type Prepared = H::Prepared;

    fn consumer(&self) -> &'static str {
        self.0.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.0.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.0.handles()
    }

    async fn prepare(&self, database: &Database, event: &Event) -> Result<H::Prepared, Failure> {
        self.0.prepare(database, event).await
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        event: &Event,
        prepared: H::Prepared,
    ) -> Result<Effect, Failure> {
        let is_stock = self.consumer() == Stockkeeping.consumer();
        match event.event_type.as_str() {
            event_type::ORDER_CANCELLED if is_stock => release(tx, event).await,
            _ => self.0.apply(tx, event, prepared).await,
        }
    }
}

async fn release(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let _: OrderCancelled = event.data()?;
    let reserved: Option<(String, i64)> = sqlx::query_as(
        "UPDATE reservations SET state = 'released' WHERE order_id = $1 RETURNING sku, quantity",
    )
    .bind(&event.entity)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((sku, quantity)) = reserved else {
        let reason = "nothing was ever reserved for the order".to_owned();
        return Ok(Effect::Discarded { reason });
    };
    sqlx::query(
        "UPDATE stock SET free = free + $1, \
         reserved = CASE WHEN reserved > $1 THEN reserved - $1 ELSE 0 END WHERE sku = $2",
    )
    .bind(quantity)
    .bind(&sku)
    .execute(&mut *tx)
    .await?;
    let data = StockReleased { sku, quantity };
    Ok(Effect::Applied {
        effect: "stock released",
        announces: Some(NewEvent::new(&event.entity, data)),
    })
}
