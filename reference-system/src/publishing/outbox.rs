//! The outbox: events are rows of the transaction that changes the state; the [`relay`](crate::relay) publishes them.
//!
//! State and event stand or fall together, and an outage of the broker only delays events.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::clock::now_ms;
use crate::event::Event;
use crate::partition_key::{ByEntity, PartitionKey};
use crate::publishing::PublishPattern;
use crate::telemetry::{messaging, propagation};

/// Publishes through the `outbox` table.
pub struct Outbox {
    /// Chooses the partition key.
    key: Box<dyn PartitionKey>,
}

impl Outbox {
    /// An outbox whose events are keyed by `key`.
    pub fn keyed_by(key: impl PartitionKey + 'static) -> Self {
        Self { key: Box::new(key) }
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::keyed_by(ByEntity)
    }
}

#[async_trait]
impl PublishPattern for Outbox {
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        for event in events {
            let context = messaging::created(event);
            let mut headers = event.headers();
            propagation::write(&context, &mut headers);
            sqlx::query(
                "INSERT INTO outbox (event_id, topic, partition_key, headers, payload, sent, due_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, 0, $6)",
            )
            .bind(event.id.to_string())
            .bind(&event.topic)
            .bind(self.key.key(event))
            .bind(serde_json::json!(headers).to_string())
            .bind(event.body())
            .bind(now_ms())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }

    async fn after_commit(&self, _events: &[Event]) {}
}
