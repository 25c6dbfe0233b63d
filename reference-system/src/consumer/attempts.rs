//! The attempts at a message: how far it has got before it is handled, and how many of its attempts failed.
//!
//! Attempts are counted in transactions of their own, because the attempt's transaction was rolled back.

use sqlx::AnyConnection;

use crate::database::Database;

use super::Received;

/// How far a message has got with one consumer.
pub(super) enum Progress {
    /// Applied, discarded or parked.
    Settled,
    /// Recorded as parked, but perhaps not published.
    HalfParked {
        /// Attempts made.
        attempts: u32,
        /// Why it cannot be handled.
        error: String,
    },
    /// An earlier event of its entity is parked.
    BehindParked,
    /// Parked ahead of all others of its entity, and published again to be taken up.
    Replayed,
    /// To be handled.
    Attempted {
        /// Failed attempts that were the message's own fault.
        attempts: u32,
        /// The error of the last of them.
        last_error: String,
    },
}

/// How far `received`, which the inbox does not know, has got with `consumer`.
pub(super) async fn look_up(
    tx: &mut AnyConnection,
    consumer: &str,
    received: &Received,
) -> sqlx::Result<Progress> {
    let parked: Vec<(String, i64, i64, String)> = sqlx::query_as(
        "SELECT event_id, published, attempts, error FROM parked \
         WHERE consumer = $1 AND entity = $2 ORDER BY position",
    )
    .bind(consumer)
    .bind(&received.entity)
    .fetch_all(&mut *tx)
    .await?;
    let first = parked.first().map(|(event_id, ..)| event_id);
    if received.is_replay() && first == Some(&received.event_id) {
        return Ok(Progress::Replayed);
    }
    let own = parked.iter().find(|(id, ..)| *id == received.event_id);
    if let Some((_, published, attempts, error)) = own {
        return Ok(match published {
            0 => Progress::HalfParked {
                attempts: u32::try_from(*attempts).unwrap_or(u32::MAX),
                error: error.clone(),
            },
            _ => Progress::Settled,
        });
    }
    if !parked.is_empty() {
        return Ok(Progress::BehindParked);
    }
    let attempted: Option<(i64, String)> = sqlx::query_as(
        "SELECT attempts, last_error FROM attempts WHERE consumer = $1 AND event_id = $2",
    )
    .bind(consumer)
    .bind(&received.event_id)
    .fetch_optional(&mut *tx)
    .await?;
    let (attempts, last_error) = attempted.unwrap_or_default();
    Ok(Progress::Attempted {
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        last_error,
    })
}

/// Counts one more failed attempt and gives the number of them.
///
/// When the commit's answer is lost, the attempt may be counted although this fails; the message is then tried again
/// and counted again, and both attempts were real.
pub(super) async fn count(
    database: &Database,
    consumer: &str,
    received: &Received,
    error: &str,
) -> sqlx::Result<u32> {
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO attempts (consumer, event_id, attempts, last_error) VALUES ($1, $2, 1, $3) \
         ON CONFLICT (consumer, event_id) \
         DO UPDATE SET attempts = attempts.attempts + 1, last_error = excluded.last_error",
    )
    .bind(consumer)
    .bind(&received.event_id)
    .bind(error)
    .execute(&mut *tx)
    .await?;
    let attempts: i64 =
        sqlx::query_scalar("SELECT attempts FROM attempts WHERE consumer = $1 AND event_id = $2")
            .bind(consumer)
            .bind(&received.event_id)
            .fetch_one(&mut *tx)
            .await?;
    tx.commit().await?;
    Ok(u32::try_from(attempts).unwrap_or(u32::MAX))
}
