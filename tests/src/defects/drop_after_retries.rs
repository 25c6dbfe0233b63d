//! `drop-after-retries`: what cannot be handled is given up for good.

use async_trait::async_trait;
use reference_system::consumer::Failure;
use reference_system::database::Database;
use reference_system::dead_letter::{GiveUp, Refused};
use reference_system::ports::Broker;

/// Logs the message and lets it be acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct DropAfterRetries;

#[async_trait]
impl GiveUp for DropAfterRetries {
    async fn give_up(
        &self,
        _: &Database,
        _: &dyn Broker,
        refused: Refused<'_>,
    ) -> Result<(), Failure> {
        tracing::error!(event_id = refused.event_id, "event dropped");
        Ok(())
    }
}
