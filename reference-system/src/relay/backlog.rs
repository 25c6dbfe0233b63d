//! The backlog of an outbox: what is to be published and is not, for metrics, and for operators who see to it.
//!
//! A row that cannot be published as it is, because it is too large for the broker, say, is withheld with its reason, and
//! the later rows of its key wait behind it, so that none overtakes. Whoever has removed the reason releases it.

use std::time::Duration;

use serde::Serialize;

use crate::clock::now_ms;
use crate::database::Database;
use crate::dead_letter::audit::{self, Deed, Mandate};

/// What an outbox has to publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Rows that are not sent, those that are withheld or wait behind them included.
    pub rows: u64,
    /// How long the oldest of them has been due.
    pub age: Duration,
    /// Rows that are withheld themselves.
    pub withheld: u64,
}

/// A row that is withheld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Withheld {
    /// The event's id.
    pub event_id: String,
    /// The topic that it is for.
    pub topic: String,
    /// Its key; later rows of the same key wait for it.
    pub partition_key: String,
    /// Why it cannot be published.
    pub reason: String,
}

impl Backlog {
    /// The backlog as it is now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(database: &Database) -> sqlx::Result<Self> {
        let (rows, withheld, oldest): (i64, i64, Option<i64>) = sqlx::query_as(
            "SELECT COUNT(*), COUNT(withheld), MIN(due_at_ms) FROM outbox WHERE sent = 0",
        )
        .fetch_one(database.reads())
        .await?;
        let age_ms = oldest.map_or(0, |due| now_ms().saturating_sub(due));
        let count = |number| u64::try_from(number).unwrap_or_default();
        Ok(Self {
            rows: count(rows),
            age: Duration::from_millis(count(age_ms)),
            withheld: count(withheld),
        })
    }
}

/// The rows that are withheld, in the order in which they were written.
///
/// # Errors
/// When the database fails.
pub async fn withheld(database: &Database) -> sqlx::Result<Vec<Withheld>> {
    sqlx::query_as(
        "SELECT event_id, topic, partition_key, withheld AS reason FROM outbox \
         WHERE withheld IS NOT NULL ORDER BY position",
    )
    .fetch_all(database.reads())
    .await
}

/// Lets the relay try what is withheld again, notes who wanted it, and gives the number of rows. What still cannot be published is withheld again.
///
/// # Errors
/// When the database fails; none of the rows is released then, or all of them if the commit's answer was lost.
pub async fn release(database: &Database, mandate: &Mandate) -> sqlx::Result<u64> {
    let mut tx = database.begin().await?;
    let withheld: Vec<(String, String)> =
        sqlx::query_as("SELECT topic, event_id FROM outbox WHERE withheld IS NOT NULL")
            .fetch_all(&mut *tx)
            .await?;
    for (topic, event_id) in &withheld {
        audit::note(&mut tx, mandate, Deed::Release, topic, event_id).await?;
    }
    let released = sqlx::query("UPDATE outbox SET withheld = NULL WHERE withheld IS NOT NULL")
        .execute(&mut *tx)
        .await?;
    match released.rows_affected() {
        0 => tx.rollback().await?,
        _ => tx.commit().await?,
    }
    Ok(released.rows_affected())
}
