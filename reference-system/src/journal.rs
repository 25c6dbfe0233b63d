//! The journal: an append-only record of every state change, with what caused it and what announces it.
//!
//! It is an audit trail, not a source of truth: no code decides anything by reading it.

use sqlx::AnyConnection;
use uuid::Uuid;

use crate::event::Event;

/// One state change.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What changed, in a few words, such as `stock reserved`.
    pub effect: &'static str,
    /// The entity that changed.
    pub entity: &'a str,
    /// The flow it belongs to.
    pub correlation_id: &'a str,
    /// The event that caused it; `None` at the ingress.
    pub cause_id: Option<Uuid>,
    /// The event that announces it, if any.
    pub announced_by: Option<&'a Event>,
}

/// Appends `entry` in the transaction of the change.
///
/// # Errors
/// When the statement fails; the caller rolls back.
pub async fn append(tx: &mut AnyConnection, entry: Entry<'_>) -> sqlx::Result<()> {
    let event = entry.announced_by;
    sqlx::query(
        "INSERT INTO journal (entity, effect, cause_id, event_id, event_type, topic, correlation_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(entry.entity)
    .bind(entry.effect)
    .bind(entry.cause_id.map(|id| id.to_string()))
    .bind(event.map(|event| event.id.to_string()))
    .bind(event.map(|event| event.event_type.clone()))
    .bind(event.map(|event| event.topic.clone()))
    .bind(entry.correlation_id)
    .execute(&mut *tx)
    .await?;
    Ok(())
}
