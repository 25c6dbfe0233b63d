//! `two-relays-skip-locked`: relays share an outbox row by row, whatever entity a row is about.

use async_trait::async_trait;
use reference_system::Database;
use reference_system::relay::{Columns, HandOffError, OutboxRow, Relay};
use scenarios::deploy::Processes;

use super::crashed_claim_never_freed::{CLAIMED, UNSENT};
use super::outbox::{NO_FENCE, for_each_outbox, mark, mark_sent};

/// Relays of which each takes the next row that no other has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct TwoRelaysSkipLocked;

#[async_trait(?Send)]
impl Processes for TwoRelaysSkipLocked {
    async fn relay(&self, relay: Relay) {
        for_each_outbox(&relay, async |database: &Database| {
            while let Some(row) = next(database).await? {
                if let Err(error) = relay.broker.publish(row.message()?).await {
                    mark(database, &row, UNSENT).await?;
                    return Err(error.into());
                }
                mark_sent(database, &row).await?;
            }
            Ok(())
        })
        .await
    }
}

/// Claims the first row that is neither sent nor claimed.
async fn next(database: &Database) -> Result<Option<OutboxRow>, HandOffError> {
    let mut tx = database.begin().await?;
    let row: Option<Columns> = sqlx::query_as(
        "UPDATE outbox SET sent = $1 \
         WHERE position = (SELECT MIN(position) FROM outbox WHERE sent = $2) AND sent = $2 \
         RETURNING position, event_id, topic, partition_key, headers, payload, replays",
    )
    .bind(CLAIMED)
    .bind(UNSENT)
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(row.map(|row| OutboxRow::read(row, NO_FENCE)))
}
