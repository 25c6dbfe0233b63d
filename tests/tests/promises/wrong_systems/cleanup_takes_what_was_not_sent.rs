//! A cleanup that deletes what is old, whether it was sent or not.
//!
//! Reported as postalserver/postal#353 (retention deletes mail that waits to be sent) and asked about for
//! NServiceBus in Particular/docs.particular.net#3947.

use std::time::Duration;

use stormglass::Machine;
use tokio::time::sleep;

use super::shop::{billing, relay, shop};
use super::{Calm, Outcome, found};
use crate::clock::now_ms;
use crate::pool;

/// How old a row of the outbox may get.
const RETENTION_MS: i64 = 2_000;

async fn clean_up(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    loop {
        sqlx::query("DELETE FROM outbox WHERE written_at_ms < $1")
            .bind(now_ms() - RETENTION_MS)
            .execute(&shop)
            .await?;
        sleep(Duration::from_millis(500)).await;
    }
}

#[test]
fn a_cleanup_that_takes_what_was_not_sent_is_found() {
    let system = shop("cleanup takes what was not sent")
        .host("relay", relay)
        .host("cleanup", clean_up)
        .host("billing", billing);
    found(&system, Calm::Holds, "no-lost-event");
}
