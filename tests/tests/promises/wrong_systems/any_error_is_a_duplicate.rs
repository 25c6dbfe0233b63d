//! A consumer that takes any error of the insert for a duplicate.
//!
//! Reported as Particular/NServiceBus.NHibernate#347: deduplication loses messages, because whatever the database
//! throws is read as "already there".

use stormglass::{Broker, Machine};

use super::ledger::ledger;
use super::{Calm, Outcome, found};
use crate::pool;

async fn book(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    let mut payments = Broker::connect().subscribe("ledger", &["payments"]).await?;
    loop {
        let payment = payments.next().await?;
        let mut transaction = ledger.begin().await?;
        let first = sqlx::query("INSERT INTO processed (id) VALUES ($1)")
            .bind(payment.message().event_id())
            .execute(&mut *transaction)
            .await;
        if first.is_ok() {
            sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
                .bind(payment.message().event_id())
                .bind(&payment.message().key)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        payment.ack().await?;
    }
}

#[test]
fn a_consumer_that_takes_any_error_for_a_duplicate_is_found() {
    let system = ledger("any error is a duplicate").host("ledger", book);
    found(&system, Calm::Holds, "no-lost-event");
}
