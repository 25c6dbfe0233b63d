//! A relay written by hand: what the mistakes in relaying have in common. It is no mistake itself.

use futures::future::join_all;
use reference_system::Database;
use reference_system::relay::{Columns, HandOffError, OutboxRow, Relay};
use tokio::time::sleep;

/// The fence of a relay that is the only one, and so needs none.
pub(super) const NO_FENCE: i64 = 0;

/// Passes over each outbox again and again, for ever.
pub(super) async fn for_each_outbox(
    relay: &Relay,
    pass: impl AsyncFn(&Database) -> Result<(), HandOffError>,
) {
    let relays = relay.databases.iter().map(async |database| {
        loop {
            if let Err(error) = pass(database).await {
                tracing::warn!(%error, "outbox is not empty");
            }
            sleep(relay.settings.relay_poll).await;
        }
    });
    let _: Vec<()> = join_all(relays).await;
}

/// All rows that are not marked as sent, in order.
pub(super) async fn unsent(database: &Database) -> sqlx::Result<Vec<OutboxRow>> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT position, event_id, topic, partition_key, headers, payload, replays FROM outbox \
         WHERE sent = 0 ORDER BY position",
    )
    .fetch_all(database.reads())
    .await?;
    let rows = rows.into_iter().map(|row| OutboxRow::read(row, NO_FENCE));
    Ok(rows.collect())
}

/// What `sent` says of a row that is sent.
const SENT: i64 = 1;

/// Marks a row as sent, without asking whose outbox it is.
pub(super) async fn mark_sent(database: &Database, row: &OutboxRow) -> sqlx::Result<()> {
    mark(database, row, SENT).await
}

/// Sets what `sent` says of a row.
pub(super) async fn mark(database: &Database, row: &OutboxRow, sent: i64) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    sqlx::query("UPDATE outbox SET sent = $1 WHERE position = $2")
        .bind(sent)
        .bind(row.position)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
