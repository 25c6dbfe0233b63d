//! `publish-before-commit`: the event is out before the state that it announces is certain.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::event::Event;
use reference_system::partition_key::{ByEntity, PartitionKey};
use reference_system::ports::Broker;
use reference_system::publishing::PublishPattern;
use sqlx::AnyConnection;

/// Publishes inside the transaction, so that an event that cannot be published rolls it back.
pub(super) struct PublishBeforeCommit {
    broker: Arc<dyn Broker>,
}

impl PublishBeforeCommit {
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        PublishBeforeCommit { broker }
    }
}

#[async_trait]
impl PublishPattern for PublishBeforeCommit {
    async fn record(&self, _: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        for event in events {
            let published = self.broker.publish(event.encode(ByEntity.key(event)));
            published.await.map_err(std::io::Error::other)?;
        }
        Ok(())
    }

    async fn after_commit(&self, _: &[Event]) {}
}
