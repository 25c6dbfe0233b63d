//! The log of changes, as the capture reads it: committed transactions in the order of their commits, kept until they are confirmed.
//!
//! The port hides where the log comes from, not what it promises: after a crash whatever was not confirmed comes again.

use async_trait::async_trait;

use crate::clock::now_ms;
use crate::database::Transaction as Open;
use crate::relay::OutboxRow;

use super::pgoutput::Malformed;

/// A committed transaction, as far as it has events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Where the log goes on behind it.
    pub position: i64,
    /// Its events, in the order in which they were written.
    pub rows: Vec<OutboxRow>,
}

/// Why a log cannot be read or confirmed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The database has told something that is not understood.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The log of one database.
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// Begins the log unless it has begun, and gives the unpublished rows that are older than it.
    ///
    /// # Errors
    /// When the database fails; then it is to be called again.
    async fn begin(&self) -> Result<Vec<OutboxRow>, LogError>;

    /// Goes on behind the rows that [`ChangeLog::begin`] gave, which are published now. Until this has succeeded a new capture
    /// is given them again.
    ///
    /// # Errors
    /// When the database fails; then it is to be called again.
    async fn go_on(&self, snapshot: &[OutboxRow]) -> Result<(), LogError>;

    /// What was committed behind the confirmed position: about `entries` of it, whole transactions only. Asking again
    /// gives the same again.
    ///
    /// # Errors
    /// When the database fails, or its answer is not understood.
    async fn next(&self, entries: u32) -> Result<Vec<Transaction>, LogError>;

    /// Lets the log forget these transactions, which [`ChangeLog::next`] gave first of all, and notes that their events are sent.
    ///
    /// # Errors
    /// When the database fails; then they may come again.
    async fn confirm(&self, published: &[Transaction]) -> Result<(), LogError>;

    /// Lets the log forget what is of no interest here, where nothing else is left in it.
    ///
    /// # Errors
    /// When the database fails.
    async fn heartbeat(&self) -> Result<(), LogError>;

    /// How much the database keeps because it is not confirmed, in the unit of the engine.
    ///
    /// # Errors
    /// When the database fails.
    async fn backlog(&self) -> Result<u64, LogError>;
}

/// Notes that rows are sent, as a relay does, so that they can be replayed and in time be purged. Nothing here reads that.
///
/// # Errors
/// When a statement fails; the caller rolls back.
pub(super) async fn mark_sent(
    tx: &mut Open,
    rows: impl IntoIterator<Item = &OutboxRow> + Send,
) -> sqlx::Result<()> {
    let now = now_ms();
    let rows: Vec<&OutboxRow> = rows.into_iter().collect();
    for row in rows {
        sqlx::query(
            "UPDATE outbox SET sent = 1, sent_at_ms = $1 WHERE event_id = $2 AND replays = $3",
        )
        .bind(now)
        .bind(&row.event_id)
        .bind(row.replays)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
