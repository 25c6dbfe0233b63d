//! The inbox that some of these systems have: the id of an event is written in the transaction of its effect.

use sqlx::{Sqlite, SqlitePool, Transaction};
use stormglass::database::Probe;
use stormglass::{CORRELATION_ID, Message};

pub(super) const INBOX: &str = "
    CREATE TABLE handled (
        number INTEGER PRIMARY KEY,
        consumer TEXT NOT NULL,
        id TEXT NOT NULL,
        entity TEXT NOT NULL,
        flow TEXT NOT NULL,
        UNIQUE (consumer, id));";

/// Begins the one transaction in which a consumer handles an event, unless it did so before.
pub(super) async fn begin(
    database: &SqlitePool,
    consumer: &str,
    event: &Message,
) -> sqlx::Result<Option<Transaction<'static, Sqlite>>> {
    let mut transaction = database.begin().await?;
    let first = sqlx::query(
        "INSERT INTO handled (consumer, id, entity, flow) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(consumer)
    .bind(event.event_id())
    .bind(&event.key)
    .bind(event.headers.get(CORRELATION_ID))
    .execute(&mut *transaction)
    .await?;
    Ok((first.rows_affected() == 1).then_some(transaction))
}

/// What a consumer has handled.
pub(super) fn handled(consumer: &str) -> Probe {
    let rows = format!(
        "SELECT number AS position, id AS event_id, entity, flow AS correlation_id FROM handled
         WHERE consumer = '{consumer}' AND number > $1 ORDER BY number"
    );
    Probe::applied(rows).by(consumer)
}
