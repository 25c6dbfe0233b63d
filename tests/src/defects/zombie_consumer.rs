//! `zombie-consumer`: a consumer goes on with a partition that was given to somebody else.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::event::Event;
use reference_system::inbox::{Inbox, ProcessedEvents};
use scenarios::deploy::Processes;

/// Consumers that take the partitions they once got for theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ZombieConsumer;

#[async_trait(?Send)]
impl Processes for ZombieConsumer {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let inbox = Arc::new(SoleOwner);
        let environment = Environment {
            inbox,
            ..environment
        };
        consumer::run(environment, handler).await
    }
}

/// The table `processed_events`, looked up when a delivery comes. Nobody else can handle the event
/// after that, as long as nobody else owns the partition.
#[derive(Clone, Copy)]
struct SoleOwner;

#[async_trait]
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
