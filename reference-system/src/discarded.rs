//! Events that come too late: what would put an older state over a newer one is not applied, and that is written down.

use sqlx::AnyConnection;

use crate::clock::now_ms;
use crate::event::Event;

/// Records in `processed_events` that `consumer` discarded `event`, and why.
///
/// # Errors
/// When the statement fails; the caller rolls back.
pub async fn record(
    tx: &mut AnyConnection,
    consumer: &str,
    event: &Event,
    reason: &str,
) -> sqlx::Result<()> {
    tracing::warn!(event_id = %event.id, reason, "event discarded");
    sqlx::query(
        "INSERT INTO processed_events \
         (consumer, event_id, event_type, entity, correlation_id, outcome, reason, handled_at_ms) \
         VALUES ($1, $2, $3, $4, $5, 'discarded', $6, $7) \
         ON CONFLICT (consumer, event_id) DO UPDATE SET outcome = 'discarded', reason = excluded.reason",
    )
    .bind(consumer)
    .bind(event.id.to_string())
    .bind(&event.event_type)
    .bind(&event.entity)
    .bind(&event.correlation_id)
    .bind(reason)
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    Ok(())
}
