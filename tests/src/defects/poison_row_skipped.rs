//! `poison-row-skipped`: a row that cannot be published goes to the end of the outbox, and its entity's later rows go out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reference_system::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOff, HandOffError, MarkAfterAck, OutboxRow};

/// How often a row may fail before it has to queue again.
const FAILURES_MAX: u32 = 2;

/// Lets no row hold up the others, those of its own entity included.
#[derive(Debug, Default)]
pub(super) struct PoisonRowSkipped {
    /// How often each row has failed, by its event's id.
    failures: Mutex<BTreeMap<String, u32>>,
}

/// Each process has a memory of its own.
impl Clone for PoisonRowSkipped {
    fn clone(&self) -> Self {
        PoisonRowSkipped::default()
    }
}

impl HandOff for PoisonRowSkipped {
    async fn hand_off<B: Broker>(
        &self,
        database: &Database,
        broker: &B,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        let Err(error) = MarkAfterAck.hand_off(database, broker, row).await else {
            return Ok(());
        };
        if self.failed(&row.event_id) < FAILURES_MAX {
            return Err(error);
        }
        tracing::warn!(event_id = row.event_id, %error, "queues again");
        let mut tx = database.begin().await?;
        sqlx::query(
            "UPDATE outbox SET position = (SELECT MAX(position) + 1 FROM outbox) \
             WHERE position = $1 AND sent = 0",
        )
        .bind(row.position)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

impl PoisonRowSkipped {
    /// Counts one more failure and gives the number of them.
    fn failed(&self, event_id: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failures.entry(event_id.to_owned()).or_default();
        *failures += 1;
        *failures
    }
}
