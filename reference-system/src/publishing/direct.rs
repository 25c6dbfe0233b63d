//! Fire and forget: events are published after the commit, without a record in the database.
//!
//! Simple, and fit for events that nobody will miss: an event is lost for good when the process stops between commit
//! and publish, or when the broker does not take it. The pattern deliberately does not try again.

use sqlx::AnyConnection;

use crate::event::Event;
use crate::partition_key::{ByEntity, PartitionKey};
use crate::ports::Broker;
use crate::publishing::PublishPattern;

/// Publishes to the broker after the commit.
#[derive(Clone, Debug)]
pub struct Direct<B, K = ByEntity> {
    /// Where to.
    broker: B,
    /// Chooses the partition key.
    key: K,
}

impl<B: Broker> Direct<B> {
    /// Publishes to `broker`, keyed by entity.
    pub fn new(broker: B) -> Self {
        let key = ByEntity;
        Self { broker, key }
    }
}

impl<B: Broker, K: PartitionKey> Direct<B, K> {
    /// The same with keys chosen by `key`.
    #[must_use]
    pub fn keyed_by<L: PartitionKey>(self, key: L) -> Direct<B, L> {
        let broker = self.broker;
        Direct { broker, key }
    }
}

impl<B: Broker, K: PartitionKey> PublishPattern for Direct<B, K> {
    async fn record(&self, _tx: &mut AnyConnection, _events: &[Event]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn after_commit(&self, events: &[Event]) {
        for event in events {
            let message = event.encode(self.key.key(event));
            if let Err(error) = self.broker.publish(message).await {
                tracing::error!(event_id = %event.id, %error, "event may be lost");
            }
        }
    }
}
