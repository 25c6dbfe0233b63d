//! A consumer that runs a transaction again when its commit failed, as if it had been rolled back.
//!
//! Reported as dotnet/efcore#22904 (a failed commit is retried by default) and stroppy-io/stroppy#167. It looks up
//! whether the payment is known, but only before the first try.

use sqlx::SqlitePool;
use stormglass::{Broker, Delivery, Machine};

use super::ledger::ledger;
use super::{Calm, Outcome, found};
use crate::pool;

async fn serve(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    let mut payments = Broker::connect().subscribe("ledger", &["payments"]).await?;
    loop {
        let payment = payments.next().await?;
        let known = sqlx::query("SELECT 1 FROM processed WHERE id = $1")
            .bind(payment.message().event_id())
            .fetch_optional(&ledger)
            .await?;
        if known.is_none() {
            let mut tries = 3;
            while let Err(error) = book(&ledger, &payment).await {
                tries -= 1;
                if tries == 0 {
                    return Err(error.into());
                }
            }
        }
        payment.ack().await?;
    }
}

async fn book(ledger: &SqlitePool, payment: &Delivery) -> sqlx::Result<()> {
    let mut transaction = ledger.begin().await?;
    sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
        .bind(payment.message().event_id())
        .bind(&payment.message().key)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO processed (id) VALUES ($1)")
        .bind(payment.message().event_id())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

#[test]
fn a_transaction_that_runs_again_after_an_unknown_commit_is_found() {
    let system = ledger("runs again after an unknown commit").host("ledger", serve);
    found(&system, Calm::Holds, "effect-once");
}
