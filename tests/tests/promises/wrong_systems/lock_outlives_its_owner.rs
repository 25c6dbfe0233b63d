//! A consumer that locks a job and takes a lock which is there for somebody who is at work.
//!
//! Reported as zoolutions/sidekiq-unique-jobs#14 and #955: the lock of a worker that crashed stays, and the job
//! is dropped whenever it comes again.

use stormglass::{Broker, Machine};

use super::ledger::ledger;
use super::{Calm, Outcome, found};
use crate::pool;

async fn book(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    let mut payments = Broker::connect().subscribe("ledger", &["payments"]).await?;
    loop {
        let payment = payments.next().await?;
        let id = payment.message().event_id();
        let locked = sqlx::query("INSERT INTO locks VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(id)
            .execute(&ledger)
            .await?;
        if locked.rows_affected() == 1 {
            let mut transaction = ledger.begin().await?;
            let first =
                sqlx::query("INSERT INTO processed (id) VALUES ($1) ON CONFLICT DO NOTHING")
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
            if first.rows_affected() == 1 {
                sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
                    .bind(id)
                    .bind(&payment.message().key)
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query("DELETE FROM locks WHERE id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        payment.ack().await?;
    }
}

#[test]
fn a_lock_that_outlives_its_owner_is_found() {
    let system = ledger("lock outlives its owner").host("ledger", book);
    found(&system, Calm::Holds, "no-lost-event");
}
