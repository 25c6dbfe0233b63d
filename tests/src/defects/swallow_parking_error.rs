//! `dlq-publish-error-swallowed`: a message that could not be parked is acknowledged all the same.

use async_trait::async_trait;
use reference_system::consumer::Failure;
use reference_system::database::Database;
use reference_system::dead_letter::{GiveUp, Park, Refused};
use reference_system::ports::Broker;

/// Parks, and takes a failure to park for a detail.
#[derive(Clone, Copy, Debug)]
pub(super) struct SwallowParkingError;

#[async_trait]
impl GiveUp for SwallowParkingError {
    async fn give_up(
        &self,
        database: &Database,
        broker: &dyn Broker,
        refused: Refused<'_>,
    ) -> Result<(), Failure> {
        let event_id = refused.event_id;
        if let Err(error) = Park.give_up(database, broker, refused).await {
            tracing::error!(event_id, %error, "not parked");
        }
        Ok(())
    }
}
