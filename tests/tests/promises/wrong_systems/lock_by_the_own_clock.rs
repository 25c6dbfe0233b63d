//! Two instances of a job that share a lock which ends at a time of day, each by its own clock.
//!
//! Reported as lukas-krecan/ShedLock#231: an instance whose clock is ahead takes the lock that another one holds,
//! and both do the job.

use std::time::Duration;

use stormglass::plan::FaultKind;
use stormglass::{Broker, Machine};
use tokio::time::sleep;

use super::ledger::ledger;
use super::{Calm, Outcome, found};
use crate::clock::now_ms;
use crate::pool;

/// How long the lock is held at most, much longer than the job takes.
const AT_MOST_MS: i64 = 1_000;

const SCHEMA: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS due (number INTEGER PRIMARY KEY, id TEXT NOT NULL, account TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS job_lock (one INTEGER PRIMARY KEY, until_ms INTEGER NOT NULL)",
    "INSERT INTO job_lock VALUES (1, 0) ON CONFLICT DO NOTHING",
];

/// Notes what is to be booked.
async fn note(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    for table in SCHEMA {
        sqlx::query(table).execute(&ledger).await?;
    }
    let mut payments = Broker::connect().subscribe("ledger", &["payments"]).await?;
    loop {
        let payment = payments.next().await?;
        let id = payment.message().event_id();
        let mut transaction = ledger.begin().await?;
        let first = sqlx::query("INSERT INTO processed (id) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 1 {
            sqlx::query("INSERT INTO due (id, account) VALUES ($1, $2)")
                .bind(id)
                .bind(&payment.message().key)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        payment.ack().await?;
    }
}

/// Books what is due, as long as it has the lock.
async fn book(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    for table in SCHEMA {
        sqlx::query(table).execute(&ledger).await?;
    }
    loop {
        sleep(Duration::from_millis(50)).await;
        let now = now_ms();
        let locked = sqlx::query("UPDATE job_lock SET until_ms = $1 WHERE until_ms <= $2")
            .bind(now + AT_MOST_MS)
            .bind(now)
            .execute(&ledger)
            .await?;
        if locked.rows_affected() == 0 {
            continue;
        }
        let due: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT number, id, account FROM due ORDER BY number LIMIT 5")
                .fetch_all(&ledger)
                .await?;
        for (number, id, account) in due {
            sleep(Duration::from_millis(50)).await;
            let mut transaction = ledger.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
                .bind(id)
                .bind(account)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("DELETE FROM due WHERE number = $1")
                .bind(number)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        sqlx::query("UPDATE job_lock SET until_ms = 0")
            .execute(&ledger)
            .await?;
    }
}

#[test]
fn a_lock_by_the_own_clock_is_found() {
    let system = ledger("lock by the own clock")
        .host("ledger", note)
        .host("job", book)
        .instances("job", 2..=2)
        .faults(&[FaultKind::ClockSkew]);
    found(&system, Calm::Holds, "effect-once");
}
