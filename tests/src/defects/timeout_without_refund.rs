//! `timeout-without-refund`: an order whose time is up is closed, and a charge that comes later is filed away with it.

use async_trait::async_trait;
use reference_system::consumer::{self, Effect, Failure, Handler, Prepared};
use reference_system::event::Event;
use reference_system::event::contract::event_type;
use reference_system::{Database, Environment};
use scenarios::deploy::Processes;
use sqlx::AnyConnection;

/// Asks no refund for what has timed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeoutWithoutRefund;

#[async_trait(?Send)]
impl Processes for TimeoutWithoutRefund {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        consumer::run(environment, Box::new(Closing(handler))).await
    }
}

/// A handler for which an order that has timed out is closed.
struct Closing(Box<dyn Handler>);

#[async_trait]
impl Handler for Closing {
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
        let is_charge = event.event_type == event_type::PAYMENT_CAPTURED;
        if is_charge && is_closed(database, event).await? {
            return Ok(Box::new(Closed));
        }
        self.0.prepare(database, event).await
    }
}

/// Nothing is done for a closed order.
struct Closed;

#[async_trait]
impl Prepared for Closed {
    async fn apply(self: Box<Self>, _: &mut AnyConnection, _: &Event) -> Result<Effect, Failure> {
        let reason = "the order is closed".to_owned();
        Ok(Effect::Discarded { reason })
    }
}

async fn is_closed(database: &Database, event: &Event) -> sqlx::Result<bool> {
    let closed: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM journal WHERE entity = $1 AND effect = 'order timed out'",
    )
    .bind(&event.entity)
    .fetch_one(database.reads())
    .await?;
    Ok(closed > 0)
}
