//! The audit trail of operators: who did what to which event, when and why.
//!
//! It is written in the transaction of the deed, or before a deed that no transaction holds. Nothing here deletes from it.

use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use crate::clock::now_ms;
use crate::database::Database;

/// Who acts, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate {
    /// A person's name or address. Nobody checks it: whoever has the operators' token is believed.
    pub who: String,
    /// The reason.
    pub why: String,
}

/// What operators do to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is published again.
    Replay,
    /// It goes without effect.
    Discard,
    /// It was withheld from the broker, and is tried again.
    Release,
}

impl Deed {
    fn word(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Release => "release",
        }
    }
}

/// One entry, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who did it.
    pub who: String,
    /// Why.
    pub why: String,
    /// `replay`, `discard` or `release`.
    pub action: String,
    /// The consumer that had parked the event; the topic that it was withheld from.
    pub consumer: String,
    /// The event.
    pub event_id: String,
}

/// Notes a deed, in the transaction in which it is done.
///
/// # Errors
/// When the statement fails; the caller rolls back.
pub async fn note(
    tx: &mut AnyConnection,
    mandate: &Mandate,
    deed: Deed,
    consumer: &str,
    event_id: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO operator_actions (at_ms, who, why, action, consumer, event_id) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(now_ms())
    .bind(&mandate.who)
    .bind(&mandate.why)
    .bind(deed.word())
    .bind(consumer)
    .bind(event_id)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The latest entries of a consumer's database, at most `limit`, the latest first.
///
/// # Errors
/// When the database fails.
pub async fn latest(database: &Database, limit: u32) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as(
        "SELECT at_ms, who, why, action, consumer, event_id FROM operator_actions \
         ORDER BY position DESC LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(database.reads())
    .await
}
