//! A relay written by hand: what the mistakes in relaying have in common. It is no mistake itself.

use futures::future::join_all;
use reference_system::Database;
use reference_system::relay::{HandOffError, OutboxRow, Relay};
use tokio::time::sleep;

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
    let rows: Vec<(i64, String, String, String, String, String, i64)> = sqlx::query_as(
        "SELECT position, event_id, topic, partition_key, headers, payload, replays FROM outbox \
         WHERE sent = 0 ORDER BY position",
    )
    .fetch_all(database.reads())
    .await?;
    Ok(rows.into_iter().map(OutboxRow::from).collect())
}
