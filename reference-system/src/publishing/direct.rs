//! Fire and forget: events are published after the commit, without a record in the database.
//!
//! Simple, and fit for events that nobody will miss: an event is lost for good when the process stops between commit
//! and publish, or when the broker does not take it. By itself the pattern deliberately does not try again; asked to, it tries
//! a few times, and stops trying while a circuit is open: nobody waits for a broker that is away, and what is announced
//! meanwhile is lost.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::event::Event;
use crate::partition_key::{ByEntity, PartitionKey};
use crate::ports::Broker;
use crate::publishing::breaker::BreakerSettings;
use crate::publishing::{Guarded, PublishPattern, Retrying};
use crate::retry::Backoff;

/// Publishes to the broker after the commit.
pub struct Direct {
    /// Where to.
    broker: Arc<dyn Broker>,
    /// Chooses the partition key.
    key: Box<dyn PartitionKey>,
}

impl Direct {
    /// Publishes to `broker`, keyed by entity.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        let key = Box::new(ByEntity);
        Self { broker, key }
    }

    /// Publishes to `broker` in up to `attempts_max` tries, each through one circuit breaker.
    #[must_use]
    pub fn guarded(
        broker: Arc<dyn Broker>,
        breaker: BreakerSettings,
        attempts_max: u32,
        backoff: Backoff,
    ) -> Self {
        let guarded = Guarded::new(broker, breaker);
        Self::new(Arc::new(Retrying::new(
            Arc::new(guarded),
            attempts_max,
            backoff,
        )))
    }

    /// The same with keys chosen by `key`.
    #[must_use]
    pub fn keyed_by(self, key: impl PartitionKey + 'static) -> Self {
        let key = Box::new(key);
        Self { key, ..self }
    }
}

#[async_trait]
impl PublishPattern for Direct {
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
