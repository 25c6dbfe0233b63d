//! A projection whose checkpoint is kept in another database than the projection.
//!
//! Reported as AxonIQ/AxonFramework#434: the token is stored where the events are, the projection elsewhere, and
//! after a failure between the two commits events are handled twice.

use stormglass::database::Database;
use stormglass::{Broker, Machine};

use super::ledger::ledger;
use super::{Calm, Outcome, found};
use crate::pool;

const TOKENS: &str = "CREATE TABLE tokens (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);";

async fn project(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    let tokens = pool::connect(machine.url("tokens")).await?;
    let mut payments = Broker::connect().subscribe("ledger", &["payments"]).await?;
    loop {
        let payment = payments.next().await?;
        let position = payment.position().clone();
        let next: Option<(i64,)> = sqlx::query_as("SELECT next FROM tokens WHERE partition = $1")
            .bind(position.partition)
            .fetch_optional(&tokens)
            .await?;
        if position.offset as i64 >= next.map_or(0, |(next,)| next) {
            sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
                .bind(payment.message().event_id())
                .bind(&payment.message().key)
                .execute(&ledger)
                .await?;
            sqlx::query("INSERT OR REPLACE INTO tokens VALUES ($1, $2)")
                .bind(position.partition)
                .bind(position.offset as i64 + 1)
                .execute(&tokens)
                .await?;
        }
        payment.ack().await?;
    }
}

#[test]
fn a_checkpoint_in_another_database_is_found() {
    let system = ledger("checkpoint in another database")
        .database(Database::new("tokens", TOKENS))
        .host("ledger", project);
    found(&system, Calm::Holds, "effect-once");
}
