//! A relay that gives a row up after so many attempts, because the broker was away for longer.
//!
//! Reported as wework/grabbit#203 (the outbox abandons a message after fifty attempts) and
//! zarusz/SlimMessageBus#459 (attempts are used up within seconds while the broker is down).

use std::time::Duration;

use stormglass::{Broker, Machine};
use tokio::time::sleep;

use super::shop::{Row, billing, mark_sent, publish, shop};
use super::{Calm, Outcome, found};
use crate::pool;

const ATTEMPTS_MAX: i64 = 5;

async fn relay(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let broker = Broker::connect();
    loop {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT number, id, customer FROM outbox
             WHERE is_sent = 0 AND attempts < $1 ORDER BY number",
        )
        .bind(ATTEMPTS_MAX)
        .fetch_all(&shop)
        .await?;
        for row in &rows {
            if publish(&broker, row).await.is_ok() {
                mark_sent(&shop, row).await?;
                continue;
            }
            sqlx::query("UPDATE outbox SET attempts = attempts + 1 WHERE number = $1")
                .bind(row.0)
                .execute(&shop)
                .await?;
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_relay_whose_retries_run_out_is_found() {
    let system = shop("retries run out")
        .host("relay", relay)
        .host("billing", billing);
    found(&system, Calm::Holds, "no-lost-event");
}
