//! `gap-timeout`: a relay that reads on behind the last row that it has sent waits where a position is missing, but not
//! for long: what is missing for a while is taken for rolled back.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::relay::{HandOffError, OutboxRow, Relay};
use reference_system::{Database, clock};
use scenarios::deploy::Processes;

use super::cursor_over_sequence::{behind, last_sent};
use super::outbox::{for_each_outbox, mark_sent};

/// How long the row behind a gap waits for what may still be committed into the gap.
const PATIENCE: Duration = Duration::from_millis(100);

/// A relay that trusts every transaction to be shorter than its patience.
#[derive(Clone, Copy, Debug)]
pub(super) struct GapTimeout;

#[async_trait(?Send)]
impl Processes for GapTimeout {
    async fn relay(&self, relay: Relay) {
        for_each_outbox(&relay, async |database: &Database| {
            let mut last = last_sent(database).await?;
            for row in behind(database, last).await? {
                if row.position > last + 1 && !has_waited(database, &row).await? {
                    break;
                }
                last = row.position;
                publish(&relay, database, &row).await?;
            }
            Ok(())
        })
        .await
    }
}

async fn publish(relay: &Relay, database: &Database, row: &OutboxRow) -> Result<(), HandOffError> {
    relay.broker.publish(row.message()?).await?;
    Ok(mark_sent(database, row).await?)
}

/// Whether a row was written so long ago that nobody is waited for any more.
async fn has_waited(database: &Database, row: &OutboxRow) -> sqlx::Result<bool> {
    let written_ms: i64 = sqlx::query_scalar("SELECT due_at_ms FROM outbox WHERE position = $1")
        .bind(row.position)
        .fetch_one(database.reads())
        .await?;
    let waited_ms = clock::now_ms() - written_ms;
    Ok(waited_ms > PATIENCE.as_millis() as i64)
}
