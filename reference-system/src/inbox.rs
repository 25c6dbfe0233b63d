//! The idempotent consumer: an event's id is recorded in the transaction of its effect, so that both stand or fall together.
//!
//! The inbox tells copies of one event apart from nothing else: two events with different ids are different events.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::clock::now_ms;
use crate::event::Event;

/// What a consumer remembers of the events it has handled.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Whether `consumer` has applied or discarded the event of this id already.
    ///
    /// It saves calls to the world outside; only [`Inbox::first_time`] decides.
    ///
    /// # Errors
    /// When the statement fails.
    async fn knows(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event_id: &str,
    ) -> sqlx::Result<bool>;

    /// Records the event in the transaction of its effect, and tells whether it was new: neither handled nor parked.
    ///
    /// # Errors
    /// When the statement fails; the caller rolls back.
    async fn first_time(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event: &Event,
    ) -> sqlx::Result<bool>;
}

/// The table `processed_events`.
///
/// On PostgreSQL the insert waits for another transaction that inserts the same id, and sees its outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessedEvents;

#[async_trait]
impl Inbox for ProcessedEvents {
    async fn knows(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event_id: &str,
    ) -> sqlx::Result<bool> {
        let found: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM processed_events \
             WHERE consumer = $1 AND event_id = $2 AND outcome <> 'parked'",
        )
        .bind(consumer)
        .bind(event_id)
        .fetch_one(&mut *tx)
        .await?;
        Ok(found > 0)
    }

    async fn first_time(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event: &Event,
    ) -> sqlx::Result<bool> {
        let inserted = sqlx::query(
            "INSERT INTO processed_events \
             (consumer, event_id, event_type, entity, correlation_id, outcome, handled_at_ms) \
             VALUES ($1, $2, $3, $4, $5, 'applied', $6) ON CONFLICT DO NOTHING",
        )
        .bind(consumer)
        .bind(event.id.to_string())
        .bind(&event.event_type)
        .bind(&event.entity)
        .bind(&event.correlation_id)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }
}
