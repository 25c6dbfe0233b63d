//! Retention: what a service need not remember any longer is deleted.
//!
//! An outbox row goes once it was sent long ago. What is known of a handled event goes when the deduplication window
//! has passed; from then on a copy of it could not be told from an event that was never handled, so that a consumer
//! parks what is older than the window instead of guessing ([`is_too_old`]). Parked events are kept, whole, until an operator
//! has settled them: a replayed one goes with its effect, and a discarded one some time after the discard.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::now_ms;
use crate::database::Database;
use crate::environment::Settings;
use crate::event::Event;

/// How long is remembered what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a sent row stays in the outbox, so that it can be replayed.
    pub sent: Duration,
    /// How long a consumer knows the events that it has handled: longer than the broker may take to deliver one again.
    pub handled: Duration,
    /// How long the message of an event is kept that an operator has discarded, in case that was a mistake.
    pub discarded: Duration,
    /// How often a service looks for what can go.
    pub every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            sent: 7 * day,
            handled: 7 * day,
            discarded: 30 * day,
            every: Duration::from_secs(60),
        }
    }
}

impl Retention {
    /// How long a handled event is certainly known, whatever the clocks of those who note and who forget it.
    #[must_use]
    pub fn known_for(&self) -> Duration {
        self.handled.saturating_sub(MARGIN)
    }
}

/// How much sooner than the row of a handled event its copies count as too old, because clocks differ.
const MARGIN: Duration = Duration::from_secs(5);

/// Whether a handled event of this age may have been forgotten.
#[must_use]
pub fn is_too_old(event: &Event, retention: &Retention) -> bool {
    let Some(timestamp) = event.id.get_timestamp() else {
        return false;
    };
    let (seconds, _) = timestamp.to_unix();
    let age_ms = now_ms().saturating_sub(
        i64::try_from(seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000),
    );
    age_ms > millis(retention.known_for())
}

/// Deletes what has had its time, for ever.
pub async fn run(database: Database, settings: Settings) -> Infallible {
    let retention = settings.retention;
    loop {
        sleep(retention.every).await;
        if let Err(error) = purge(&database, &retention).await {
            tracing::warn!(%error, "nothing is purged");
        }
    }
}

/// Deletes what has had its time.
///
/// # Errors
/// When the database fails; nothing is deleted then, or all of it if the commit's answer was lost.
pub async fn purge(database: &Database, retention: &Retention) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    let now = now_ms();
    let sent = sqlx::query("DELETE FROM outbox WHERE sent = 1 AND sent_at_ms < $1")
        .bind(now - millis(retention.sent))
        .execute(&mut *tx)
        .await?;
    let handled = sqlx::query("DELETE FROM processed_events WHERE handled_at_ms < $1")
        .bind(now - millis(retention.handled))
        .execute(&mut *tx)
        .await?;
    let discarded = sqlx::query("DELETE FROM discarded_messages WHERE discarded_at_ms < $1")
        .bind(now - millis(retention.discarded))
        .execute(&mut *tx)
        .await?;
    let [sent, handled, discarded] = [sent, handled, discarded].map(|rows| rows.rows_affected());
    if sent + handled + discarded == 0 {
        return tx.rollback().await;
    }
    tx.commit().await?;
    tracing::info!(sent, handled, discarded, "purged");
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
