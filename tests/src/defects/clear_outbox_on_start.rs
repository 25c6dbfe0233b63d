//! `clear-outbox-on-start`: a relay deletes what it believes it sent in its last life.

use reference_system::Database;
use reference_system::ports::Broker;
use reference_system::relay::{self, HandOff};
use reference_system::{Settings, Shutdown};
use scenarios::deploy::Processes;

use super::crashed_claim_never_freed::{CLAIMED, ClaimFirst};

/// Cleans up behind a crash: a row that was about to be published will have been.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClearOutboxOnStart;

impl Processes for ClearOutboxOnStart {
    async fn relay<B: Broker>(
        &self,
        name: &str,
        databases: Vec<Database>,
        broker: B,
        settings: Settings,
        _: impl HandOff,
        shutdown: Shutdown,
    ) {
        for database in &databases {
            if let Err(error) = clear(database).await {
                tracing::warn!(%error, "outbox is not cleared");
            }
        }
        relay::run_with(name, databases, broker, settings, ClaimFirst, shutdown).await
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
