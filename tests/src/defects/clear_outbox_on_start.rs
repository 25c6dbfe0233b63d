//! `clear-outbox-on-start`: a relay deletes what it believes it sent in its last life.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::Database;
use reference_system::relay::Relay;
use scenarios::deploy::Processes;

use super::crashed_claim_never_freed::{CLAIMED, ClaimFirst};

/// Cleans up behind a crash: a row that was about to be published will have been.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClearOutboxOnStart;

#[async_trait(?Send)]
impl Processes for ClearOutboxOnStart {
    async fn relay(&self, relay: Relay) {
        for database in &relay.databases {
            if let Err(error) = clear(database).await {
                tracing::warn!(%error, "outbox is not cleared");
            }
        }
        let hand_off = Arc::new(ClaimFirst);
        Relay { hand_off, ..relay }.run().await
    }
}

async fn clear(database: &Database) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    sqlx::query("DELETE FROM outbox WHERE sent = $1")
        .bind(CLAIMED)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
