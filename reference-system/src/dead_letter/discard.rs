//! Discarding: an operator decides that a parked event never takes effect, and says why.
//!
//! The event counts as discarded by its consumer from then on, so that no copy of it is handled, and what is parked
//! behind it may be replayed. The message is kept, whole, until its retention is over; the decision is kept for good.
//! Nothing is discarded that nobody has looked at.

use serde::Serialize;
use sqlx::AnyConnection;

use super::audit::{self, Deed, Mandate};
use super::parked::{self, Filter, Parked};
use crate::clock::now_ms;
use crate::database::Database;

/// What became of a discard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Discarded {
    /// Events that are discarded.
    pub events: u64,
    /// Events that are left where they are because no operator has seen them.
    pub unseen: u64,
}

/// Discards what `consumer` has parked in `database` and the filter means.
///
/// # Errors
/// When the database fails; nothing is discarded then, or all of it if the commit's answer was lost.
pub async fn discard(
    consumer: &str,
    database: &Database,
    filter: &Filter,
    mandate: &Mandate,
) -> sqlx::Result<Discarded> {
    let selected = parked::select(database, consumer, filter, u32::MAX).await?;
    let mut discarded = Discarded::default();
    let mut tx = database.begin().await?;
    for parked in &selected {
        if parked.seen_at_ms.is_none() {
            discarded.unseen += 1;
        } else if put_away(&mut tx, parked).await? {
            settle(&mut tx, parked, mandate).await?;
            audit::note(&mut tx, mandate, Deed::Discard, consumer, &parked.event_id).await?;
            discarded.events += 1;
        }
    }
    tx.commit().await?;
    let Discarded { events, unseen } = discarded;
    tracing::warn!(consumer, events, unseen, who = mandate.who, "discarded");
    Ok(discarded)
}

/// Takes a message out of what is parked and keeps it apart; tells whether it was still there.
///
/// One that is not in the dead letter topic yet is left to the consumer that is parking it.
async fn put_away(tx: &mut AnyConnection, parked: &Parked) -> sqlx::Result<bool> {
    let taken: Option<(String, String, String, Vec<u8>, String)> = sqlx::query_as(
        "DELETE FROM parked WHERE consumer = $1 AND event_id = $2 AND published = 1 \
         RETURNING topic, partition_key, headers, payload, error",
    )
    .bind(&parked.consumer)
    .bind(&parked.event_id)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((topic, partition_key, headers, payload, error)) = taken else {
        return Ok(false);
    };
    sqlx::query(
        "INSERT INTO discarded_messages \
         (consumer, event_id, topic, partition_key, headers, payload, error, discarded_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&parked.consumer)
    .bind(&parked.event_id)
    .bind(topic)
    .bind(partition_key)
    .bind(headers)
    .bind(payload)
    .bind(error)
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    Ok(true)
}

/// Tells the consumer that the event is done with. Its row may be gone, because parked events outlive what is known of
/// handled ones.
async fn settle(tx: &mut AnyConnection, parked: &Parked, mandate: &Mandate) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO processed_events \
         (consumer, event_id, event_type, entity, correlation_id, outcome, reason, handled_at_ms) \
         VALUES ($1, $2, $3, $4, $5, 'discarded', $6, $7) ON CONFLICT (consumer, event_id) \
         DO UPDATE SET outcome = 'discarded', reason = excluded.reason, handled_at_ms = excluded.handled_at_ms",
    )
    .bind(&parked.consumer)
    .bind(&parked.event_id)
    .bind(&parked.event_type)
    .bind(&parked.entity)
    .bind(&parked.correlation_id)
    .bind(format!("{}: {}", mandate.who, mandate.why))
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    Ok(())
}
