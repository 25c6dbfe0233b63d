//! The outbox that some of these systems have: an event is written in the transaction of its state, and published
//! later, in the order in which it was written.

use std::time::Duration;

use sqlx::{Sqlite, SqlitePool, Transaction};
use stormglass::database::Probe;
use stormglass::{Broker, CAUSATION_ID, CORRELATION_ID, EVENT_ID, EVENT_TYPE, Message};
use tokio::time::sleep;

use super::Outcome;

pub(super) const OUTBOX: &str = "
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        entity TEXT NOT NULL,
        flow TEXT NOT NULL,
        cause TEXT NOT NULL,
        payload TEXT NOT NULL,
        is_sent INTEGER NOT NULL DEFAULT 0);";

/// An event that is to be published.
pub(super) struct Event<'a> {
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) entity: &'a str,
    pub(super) flow: &'a str,
    pub(super) cause: &'a str,
    pub(super) payload: &'a str,
}

/// Writes an event beside what it announces.
pub(super) async fn write(
    transaction: &mut Transaction<'_, Sqlite>,
    event: Event<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO outbox (id, kind, entity, flow, cause, payload) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(event.id)
    .bind(event.kind)
    .bind(event.entity)
    .bind(event.flow)
    .bind(event.cause)
    .bind(event.payload)
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// Publishes a few events, and says how many there were.
pub(super) async fn publish_page(
    database: &SqlitePool,
    broker: &Broker,
    topic: &str,
) -> Result<usize, Box<dyn std::error::Error>> {
    let page: Vec<(i64, String, String, String, String, String, String)> = sqlx::query_as(
        "SELECT number, id, kind, entity, flow, cause, payload FROM outbox
         WHERE is_sent = 0 ORDER BY number LIMIT 4",
    )
    .fetch_all(database)
    .await?;
    for (number, id, kind, entity, flow, cause, payload) in &page {
        let event = Message::new(topic, entity, payload.as_str())
            .header(EVENT_ID, id)
            .header(EVENT_TYPE, kind)
            .header(CORRELATION_ID, flow)
            .header(CAUSATION_ID, cause);
        broker.publish(event).await?;
        sqlx::query("UPDATE outbox SET is_sent = 1 WHERE number = $1")
            .bind(number)
            .execute(database)
            .await?;
    }
    Ok(page.len())
}

/// Publishes whatever is written, for ever.
pub(super) async fn publish(database: &SqlitePool, broker: &Broker, topic: &str) -> Outcome {
    loop {
        if publish_page(database, broker, topic).await? == 0 {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What is written, all of it because of an event.
pub(super) fn announced(topic: &str) -> Probe {
    Probe::announced(format!(
        "SELECT number AS position, id AS event_id, entity, '{topic}' AS topic, kind AS event_type,
             flow AS correlation_id, cause AS cause_id, FALSE AS is_root
         FROM outbox WHERE number > $1 ORDER BY number"
    ))
}
