//! `oversell`: stock is looked at, and what is left of it is written down in another transaction.

use async_trait::async_trait;
use sqlx::AnyConnection;

use reference_system::Database;
use reference_system::Environment;
use reference_system::consumer::{self, Effect, Failure, Handler, Prepared};
use reference_system::event::Event;
use reference_system::event::contract::{OrderPlaced, event_type};
use reference_system::inventory::Stockkeeping;
use scenarios::deploy::Processes;

/// Subtracts in its own memory, where nobody else's order counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oversell;

#[async_trait(?Send)]
impl Processes for Oversell {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        consumer::run(environment, Box::new(BySight(handler))).await
    }
}

/// A handler that sells what it saw.
struct BySight(Box<dyn Handler>);

/// Free and reserved pieces of an article, when they were looked at.
struct Seen {
    free: i64,
    reserved: i64,
}

#[async_trait]
impl Handler for BySight {
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
        let sells = self.consumer() == Stockkeeping.consumer()
            && event.event_type == event_type::ORDER_PLACED;
        if !sells {
            return self.0.prepare(database, event).await;
        }
        let seen = look(database, event).await?;
        let prepared = self.0.prepare(database, event).await?;
        Ok(Box::new(Sale { seen, prepared }))
    }
}

/// A sale of what there was when it was looked at.
struct Sale {
    seen: Seen,
    prepared: Box<dyn Prepared>,
}

#[async_trait]
impl Prepared for Sale {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        put_back(tx, event, self.seen).await?;
        self.prepared.apply(tx, event).await
    }
}

async fn look(database: &Database, event: &Event) -> Result<Seen, Failure> {
    let order: OrderPlaced = event.data()?;
    let (free, reserved) = sqlx::query_as("SELECT free, reserved FROM stock WHERE sku = $1")
        .bind(&order.sku)
        .fetch_one(database.reads())
        .await?;
    Ok(Seen { free, reserved })
}

/// Takes the article for what it was, so that what follows subtracts from that.
async fn put_back(tx: &mut AnyConnection, event: &Event, seen: Seen) -> Result<(), Failure> {
    let order: OrderPlaced = event.data()?;
    sqlx::query("UPDATE stock SET free = $1, reserved = $2 WHERE sku = $3")
        .bind(seen.free)
        .bind(seen.reserved)
        .bind(&order.sku)
        .execute(&mut *tx)
        .await?;
    Ok(())
}
