//! A relay that remembers the time of the last row it read, and asks for later ones.
//!
//! Reported as confluentinc/kafka-connect-jdbc#172 and #27: a row is given its time before it is committed, so
//! one that is committed late is behind the cursor. Two instances take orders here, each with its own clock reading.

use std::time::Duration;

use stormglass::{Broker, Machine};
use tokio::time::sleep;

use super::shop::{billing, orders, publish, shop};
use super::{Calm, Outcome, found};
use crate::pool;

async fn relay(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let broker = Broker::connect();
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL)",
    )
    .execute(&shop)
    .await?;
    sqlx::query("INSERT INTO cursor VALUES (1, 0) ON CONFLICT DO NOTHING")
        .execute(&shop)
        .await?;
    loop {
        let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
            "SELECT number, id, customer, written_at_ms FROM outbox
             WHERE written_at_ms > (SELECT at_ms FROM cursor) ORDER BY written_at_ms, number",
        )
        .fetch_all(&shop)
        .await?;
        for (number, id, customer, _) in &rows {
            publish(&broker, &(*number, id.clone(), customer.clone())).await?;
        }
        if let Some((.., written_at_ms)) = rows.last() {
            sqlx::query("UPDATE cursor SET at_ms = $1")
                .bind(written_at_ms)
                .execute(&shop)
                .await?;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_cursor_over_timestamps_is_found() {
    let system = shop("cursor over timestamps")
        .host("orders-2", orders)
        .host("relay", relay)
        .host("billing", billing);
    found(&system, Calm::MayBreak, "no-lost-event");
}
