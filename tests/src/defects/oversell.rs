//! `oversell`: stock is looked at, and what is left of it is written down in another transaction.

use sqlx::AnyConnection;

use reference_system::Database;
use reference_system::Environment;
use reference_system::consumer::{self, Effect, Failure, Handler};
use reference_system::event::Event;
use reference_system::event::contract::{OrderPlaced, event_type};
use reference_system::inventory::Stockkeeping;
use scenarios::deploy::Processes;

/// Subtracts in its own memory, where nobody else's order counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oversell;

impl Processes for Oversell {
    async fn consume<E: Environment, H: Handler>(&self, environment: E, handler: H) {
        consumer::run(environment, BySight(handler)).await
    }
}

/// A handler that sells what it saw.
struct BySight<H>(H);

/// Free and reserved pieces of an article, when they were looked at.
struct Seen {
    free: i64,
    reserved: i64,
}

impl<H: Handler> Handler for BySight<H> {
    type Prepared = (Option<Seen>, H::Prepared);

    fn consumer(&self) -> &'static str {
        self.0.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.0.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.0.handles()
    }

    async fn prepare(&self, database: &Database, event: &Event) -> Result<Self::Prepared, Failure> {
        let sells = self.consumer() == Stockkeeping.consumer()
            && event.event_type == event_type::ORDER_PLACED;
        let seen = if sells {
            Some(look(database, event).await?)
        } else {
            None
        };
        Ok((seen, self.0.prepare(database, event).await?))
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        event: &Event,
        (seen, prepared): Self::Prepared,
    ) -> Result<Effect, Failure> {
        if let Some(seen) = seen {
            put_back(tx, event, seen).await?;
        }
        self.0.apply(tx, event, prepared).await
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
