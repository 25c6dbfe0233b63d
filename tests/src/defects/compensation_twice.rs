//! `compensation-twice`: stock is given back as often as the cancellation arrives.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use reference_system::Database;
use reference_system::Environment;
use reference_system::consumer::{self, Effect, Failure, Handler, Prepared};
use reference_system::event::contract::{OrderCancelled, StockReleased, event_type};
use reference_system::event::{Event, NewEvent};
use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::inventory::Stockkeeping;
use scenarios::deploy::Processes;

/// Takes care of repetitions on the way forward, and of none on the way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompensationTwice;

#[async_trait(?Send)]
impl Processes for CompensationTwice {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let environment = Environment {
            inbox: Arc::new(ForwardOnly),
            ..environment
        };
        consumer::run(environment, Box::new(GivingBack(handler))).await
    }
}

/// The table `processed_events`, for everything but compensations.
#[derive(Clone, Copy)]
struct ForwardOnly;

#[async_trait]
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

/// A handler with a careless compensation.
struct GivingBack(Box<dyn Handler>);

#[async_trait]
impl Handler for GivingBack {
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
        let is_stock = self.consumer() == Stockkeeping.consumer();
        match event.event_type.as_str() {
            event_type::ORDER_CANCELLED if is_stock => Ok(Box::new(Release)),
            _ => self.0.prepare(database, event).await,
        }
    }
}

/// A compensation that does not ask whether anything is still reserved.
struct Release;

#[async_trait]
impl Prepared for Release {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        release(tx, event).await
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
