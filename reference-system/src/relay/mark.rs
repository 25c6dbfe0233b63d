//! What a relay writes about a row: that it was sent, or that it is withheld.
//!
//! Both are written under the fence under which the row was read, so that a relay which has lost its lease unaware writes
//! nothing. Marking a row twice changes nothing.

use sqlx::any::AnyQueryResult;

use super::{HandOffError, OutboxRow};
use crate::clock::now_ms;
use crate::database::{Database, Transaction};

/// Marks a row as sent.
///
/// # Errors
/// [`HandOffError::Fenced`] when another relay has taken the outbox over, or an operator has asked for the row again; when
/// the database fails the row may be marked or not.
pub async fn mark_sent(database: &Database, row: &OutboxRow) -> Result<(), HandOffError> {
    let mut tx = database.begin().await?;
    let marked = sqlx::query(
        "UPDATE outbox SET sent = 1, sent_at_ms = $1 WHERE event_id = $2 AND replays = $3 \
         AND EXISTS (SELECT 1 FROM relay_leases WHERE name = 'outbox' AND fence = $4)",
    )
    .bind(now_ms())
    .bind(&row.event_id)
    .bind(row.replays)
    .bind(row.fence)
    .execute(&mut *tx)
    .await?;
    commit_under_fence(tx, &marked).await
}

/// Puts a row aside that cannot be published as it is: it and the later ones of its key stay until somebody releases it.
///
/// # Errors
/// As for [`mark_sent`].
pub async fn withhold(
    database: &Database,
    row: &OutboxRow,
    reason: &str,
) -> Result<(), HandOffError> {
    let mut tx = database.begin().await?;
    let marked = sqlx::query(
        "UPDATE outbox SET withheld = $1 WHERE event_id = $2 AND replays = $3 AND sent = 0 \
         AND EXISTS (SELECT 1 FROM relay_leases WHERE name = 'outbox' AND fence = $4)",
    )
    .bind(reason)
    .bind(&row.event_id)
    .bind(row.replays)
    .bind(row.fence)
    .execute(&mut *tx)
    .await?;
    commit_under_fence(tx, &marked).await
}

async fn commit_under_fence(tx: Transaction, marked: &AnyQueryResult) -> Result<(), HandOffError> {
    if marked.rows_affected() == 0 {
        tx.rollback().await?;
        return Err(HandOffError::Fenced);
    }
    Ok(tx.commit().await?)
}
