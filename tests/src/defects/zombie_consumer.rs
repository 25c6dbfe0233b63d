//! `zombie-consumer`: a consumer goes on with a partition that was given to somebody else.

use sqlx::AnyConnection;

use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::event::Event;
use reference_system::inbox::{Inbox, ProcessedEvents};
use scenarios::deploy::Processes;

use super::rewired::Rewired;

/// Consumers that take the partitions they once got for theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ZombieConsumer;

impl Processes for ZombieConsumer {
    async fn consume<E: Environment, H: Handler>(&self, environment: E, handler: H) {
        consumer::run(Rewired::inbox(environment, SoleOwner), handler).await
    }
}

/// The table `processed_events`, looked up when a delivery comes. Nobody else can handle the event
/// after that, as long as nobody else owns the partition.
#[derive(Clone, Copy)]
struct SoleOwner;

impl Inbox for SoleOwner {
    async fn knows(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event_id: &str,
    ) -> sqlx::Result<bool> {
        ProcessedEvents.knows(tx, consumer, event_id).await
    }

    async fn first_time(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event: &Event,
    ) -> sqlx::Result<bool> {
        ProcessedEvents.first_time(tx, consumer, event).await?;
        Ok(true)
    }
}
