//! The consumer that the article warns of: what it cannot handle is caught, logged at DEBUG, and acknowledged.

use async_trait::async_trait;
use reference_system::Database;
use reference_system::consumer::Failure;
use reference_system::dead_letter::{GiveUp, Refused};
use reference_system::ports::Broker;

/// Gives up without a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtDebug;

#[async_trait]
impl GiveUp for AtDebug {
    async fn give_up(
        &self,
        _database: &Database,
        _broker: &dyn Broker,
        refused: Refused<'_>,
    ) -> Result<(), Failure> {
        let Refused {
            event_id, error, ..
        } = refused;
        tracing::debug!(event_id, error, "skipped");
        Ok(())
    }
}
