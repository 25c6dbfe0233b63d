//! The lease of an outbox: which of several relays publishes it.
//!
//! It saves work and nothing rests on it, nor on the agreement of anybody's clocks. A relay that lost its lease unaware,
//! because it was paused, publishes again what the next holder has published, under the same ids. It never publishes a
//! row ahead of an earlier one of its key: it goes on behind a row only when the broker has acknowledged it, to itself or
//! to the holder that marked it.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::now_ms;
use crate::database::Database;

/// One relay's share in the lease of one outbox.
pub(super) struct Lease {
    /// The relay's name, which its next life has as well.
    owner: String,
    length: Duration,
    /// When it is to be renewed, on this relay's own clock; `None` while another relay has it.
    renewal: Option<Instant>,
}

impl Lease {
    pub(super) fn new(owner: String, length: Duration) -> Self {
        Self {
            owner,
            length,
            renewal: None,
        }
    }

    /// Whether the lease is held and not due for renewal.
    pub(super) fn is_held(&self) -> bool {
        self.renewal.is_some_and(|due| Instant::now() < due)
    }

    /// Takes or renews the lease, and tells whether that succeeded.
    ///
    /// # Errors
    /// When the database fails; the lease counts as not held.
    pub(super) async fn take(&mut self, database: &Database) -> sqlx::Result<bool> {
        self.renewal = None;
        let asked = Instant::now();
        let now = now_ms();
        let until = now.saturating_add(i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX));
        let mut tx = database.begin().await?;
        let taken = sqlx::query(
            "INSERT INTO relay_leases (name, owner, until_ms) VALUES ('outbox', $1, $2) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms \
             WHERE relay_leases.owner = excluded.owner OR relay_leases.until_ms < $3",
        )
        .bind(&self.owner)
        .bind(until)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        self.renewal = Some(asked + self.length / 2);
        Ok(true)
    }
}
