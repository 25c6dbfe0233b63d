//! `cursor-over-sequence`: a relay reads on behind the last row that it has sent, as if positions were given out in the
//! order in which transactions commit.

use async_trait::async_trait;
use reference_system::Database;
use reference_system::relay::{Columns, OutboxRow, Relay};
use scenarios::deploy::Processes;

use super::outbox::{NO_FENCE, for_each_outbox, mark_sent};

/// A relay that never looks back.
#[derive(Clone, Copy, Debug)]
pub(super) struct CursorOverSequence;

#[async_trait(?Send)]
impl Processes for CursorOverSequence {
    async fn relay(&self, relay: Relay) {
        for_each_outbox(&relay, async |database: &Database| {
            let last = last_sent(database).await?;
            for row in behind(database, last).await? {
                relay.broker.publish(row.message()?).await?;
                mark_sent(database, &row).await?;
            }
            Ok(())
        })
        .await
    }
}

/// The highest position of a row that is sent; zero before the first.
pub(super) async fn last_sent(database: &Database) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COALESCE(MAX(position), 0) FROM outbox WHERE sent = 1")
        .fetch_one(database.reads())
        .await
}

/// All rows behind a position, in order.
pub(super) async fn behind(database: &Database, last: i64) -> sqlx::Result<Vec<OutboxRow>> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT position, event_id, topic, partition_key, headers, payload, replays FROM outbox \
         WHERE position > $1 ORDER BY position",
    )
    .bind(last)
    .fetch_all(database.reads())
    .await?;
    let rows = rows.into_iter().map(|row| OutboxRow::read(row, NO_FENCE));
    Ok(rows.collect())
}
