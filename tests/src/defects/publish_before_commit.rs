//! `publish-before-commit`: the event is out before the state that it announces is certain.

use sqlx::AnyConnection;

use reference_system::event::Event;
use reference_system::partition_key::{ByEntity, PartitionKey};
use reference_system::ports::Broker;
use reference_system::publishing::PublishPattern;
use scenarios::deploy::SimulatedBroker;

/// Publishes inside the transaction, so that an event that cannot be published rolls it back.
#[derive(Clone)]
pub(super) struct PublishBeforeCommit {
    broker: SimulatedBroker,
}

impl PublishBeforeCommit {
    pub(super) fn new(broker: SimulatedBroker) -> Self {
        PublishBeforeCommit { broker }
    }
}

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
