//! The lease of an outbox: which of several relays publishes it, and the fence that keeps out one that has lost it.
//!
//! The lease alone saves work: it runs by the clocks of those who hold it, and one that was paused may take it for its own.
//! So every takeover raises a number, the fence, under which rows are read, and what a relay writes about a row it writes
//! under its fence only (see [`mark`](super::mark)). A relay that lost its lease unaware finishes the publish that it has
//! under way, finds the fence raised when it marks the row, and stops. That row goes out twice, under one id and never ahead
//! of an earlier one of its key: a relay goes on behind a row only when the broker has acknowledged it.

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
    /// The number of the last takeover that was this relay's own; zero before the first.
    fence: i64,
}

impl Lease {
    pub(super) fn new(owner: String, length: Duration) -> Self {
        Self {
            owner,
            length,
            renewal: None,
            fence: 0,
        }
    }

    /// Whether the lease is held and not due for renewal.
    pub(super) fn is_held(&self) -> bool {
        self.renewal.is_some_and(|due| Instant::now() < due)
    }

    /// The fence under which this relay reads and marks.
    pub(super) fn fence(&self) -> i64 {
        self.fence
    }

    /// Another relay has it: nothing is done under the old fence any more.
    pub(super) fn is_lost(&mut self) {
        self.renewal = None;
    }

    /// Takes or renews the lease, and tells whether that succeeded.
    ///
    /// It is taken over from a relay whose time is over, and from a former life of this one.
    ///
    /// # Errors
    /// When the database fails; the lease counts as not held.
    pub(super) async fn take(&mut self, database: &Database) -> sqlx::Result<bool> {
        self.renewal = None;
        let asked = Instant::now();
        let now = now_ms();
        let until = now.saturating_add(i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX));
        let mut tx = database.begin().await?;
        let taken: Option<i64> = sqlx::query_scalar(
            "INSERT INTO relay_leases (name, owner, until_ms, fence) VALUES ('outbox', $1, $2, 1) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms, \
             fence = relay_leases.fence + CASE WHEN relay_leases.fence = $4 THEN 0 ELSE 1 END \
             WHERE relay_leases.until_ms < $3 \
             OR (relay_leases.owner = excluded.owner AND (relay_leases.fence = $4 OR $4 = 0)) \
             RETURNING fence",
        )
        .bind(&self.owner)
        .bind(until)
        .bind(now)
        .bind(self.fence)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(fence) = taken else {
            tx.rollback().await?;
            return Ok(false);
        };
        tx.commit().await?;
        self.fence = fence;
        self.renewal = Some(asked + self.length / 2);
        Ok(true)
    }
}
