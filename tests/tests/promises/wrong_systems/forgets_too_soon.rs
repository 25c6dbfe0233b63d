//! A consumer that forgets what it has processed sooner than the broker may deliver it again.
//!
//! Discussed for NServiceBus in Particular/docs.particular.net#3947: retention of the outbox records has to be
//! longer than the longest way by which a message can come back.

use stormglass::{Broker, Machine};

use super::ledger::ledger;
use super::{Calm, Outcome, found};
use crate::clock::now_ms;
use crate::pool;

/// For how long an id is remembered.
const RETENTION_MS: i64 = 1_000;

async fn book(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    let mut payments = Broker::connect().subscribe("ledger", &["payments"]).await?;
    loop {
        let payment = payments.next().await?;
        let mut transaction = ledger.begin().await?;
        sqlx::query("DELETE FROM processed WHERE at_ms < $1")
            .bind(now_ms() - RETENTION_MS)
            .execute(&mut *transaction)
            .await?;
        let first = sqlx::query("INSERT INTO processed VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(payment.message().event_id())
            .bind(now_ms())
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 1 {
            sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
                .bind(payment.message().event_id())
                .bind(&payment.message().key)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        payment.ack().await?;
    }
}

#[test]
fn a_consumer_that_forgets_too_soon_is_found() {
    let system = ledger("forgets too soon").host("ledger", book);
    found(&system, Calm::Holds, "effect-once");
}
