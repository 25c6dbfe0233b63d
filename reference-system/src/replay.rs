//! Replay: what a consumer has parked is published again, by the service that published it first.
//!
//! Nothing is copied from a dead letter topic: the event is still in its origin's outbox, whole and in its place, and its
//! relay publishes it again under its own id, in the order of its entity. The consumer takes the parked events of an
//! entity up again one after the other, and until the last of them is handled the entity's other events stay behind.
//! Asking twice changes nothing; what was parked meanwhile needs another replay.

use serde::Serialize;

use crate::clock::now_ms;
use crate::database::Database;

/// What became of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Events that are published again.
    pub events: u64,
    /// Parked events that no outbox holds any more, or that are about to be published anyway.
    pub left: u64,
}

/// A topic and the database of the service that publishes to it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The topic.
    pub topic: &'static str,
    /// The database whose outbox its events come from.
    pub database: Database,
}

/// Replays everything that `consumer` has parked in `database`.
///
/// # Errors
/// When a database fails; some of the events may be published again.
pub async fn replay(
    consumer: &str,
    database: &Database,
    origins: &[Origin],
) -> sqlx::Result<Replayed> {
    let parked: Vec<(String, String)> =
        sqlx::query_as("SELECT event_id, topic FROM parked WHERE consumer = $1 ORDER BY position")
            .bind(consumer)
            .fetch_all(database.reads())
            .await?;
    let mut replayed = Replayed::default();
    for origin in origins {
        let own = parked.iter().filter(|(_, topic)| topic == origin.topic);
        let own: Vec<&String> = own.map(|(event_id, _)| event_id).collect();
        if !own.is_empty() {
            replayed.events += send_again(&origin.database, &own).await?;
        }
    }
    replayed.left = (parked.len() as u64).saturating_sub(replayed.events);
    tracing::warn!(consumer, replayed.events, replayed.left, "replayed");
    Ok(replayed)
}

/// Makes sent rows unsent again, all or none, and gives the number of them.
async fn send_again(origin: &Database, event_ids: &[&String]) -> sqlx::Result<u64> {
    let mut tx = origin.begin().await?;
    let mut rows = 0;
    for event_id in event_ids {
        let again = sqlx::query(
            "UPDATE outbox SET sent = 0, replays = replays + 1, due_at_ms = $2 \
             WHERE event_id = $1 AND sent = 1",
        )
        .bind(event_id.as_str())
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        rows += again.rows_affected();
    }
    tx.commit().await?;
    Ok(rows)
}
