//! `poison-row-skipped`: a row that cannot be published goes to the end of the outbox, and its entity's later rows go out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use reference_system::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOff, HandOffError, MarkAfterAck, OutboxRow, Relay};
use scenarios::deploy::Processes;

/// How often a row may fail before it has to queue again.
const FAILURES_MAX: u32 = 2;

/// Lets no row hold up the others, those of its own entity included.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoisonRowSkipped;

#[async_trait(?Send)]
impl Processes for PoisonRowSkipped {
    async fn relay(&self, relay: Relay) {
        let hand_off = Arc::new(Patience::default());
        Relay { hand_off, ..relay }.run().await
    }
}

/// Hands rows over, and has patience with each for a while.
#[derive(Default)]
struct Patience {
    /// How often each row has failed, by its event's id.
    failures: Mutex<BTreeMap<String, u32>>,
}

#[async_trait]
impl HandOff for Patience {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
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

impl Patience {
    /// Counts one more failure and gives the number of them.
    fn failed(&self, event_id: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failures.entry(event_id.to_owned()).or_default();
        *failures += 1;
        *failures
    }
}
