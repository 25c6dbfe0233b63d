//! A relay that puts a row which it could not publish aside for a while, and goes on with later ones.
//!
//! Reported as dotnetcore/CAP#1078: after the broker came back, messages that were written later were sent
//! before those that had failed.

use std::time::Duration;

use stormglass::{Broker, Machine};
use tokio::time::sleep;

use super::shop::{Row, billing, mark_sent, publish, shop};
use super::{Calm, Outcome, found};
use crate::clock::now_ms;
use crate::pool;

async fn relay(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let broker = Broker::connect();
    loop {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT number, id, customer FROM outbox
             WHERE is_sent = 0 AND next_try_at_ms <= $1 ORDER BY number",
        )
        .bind(now_ms())
        .fetch_all(&shop)
        .await?;
        for row in &rows {
            if publish(&broker, row).await.is_ok() {
                mark_sent(&shop, row).await?;
                continue;
            }
            sqlx::query("UPDATE outbox SET next_try_at_ms = $1 WHERE number = $2")
                .bind(now_ms() + 1_000)
                .bind(row.0)
                .execute(&shop)
                .await?;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_relay_that_puts_failed_rows_last_is_found() {
    let system = shop("failed rows go last")
        .host("relay", relay)
        .host("billing", billing);
    found(&system, Calm::Holds, "entity-order");
}
