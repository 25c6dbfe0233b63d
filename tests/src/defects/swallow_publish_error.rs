//! `swallow-publish-error`: a publish that failed is a line in the log and nothing else.

use async_trait::async_trait;
use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOff, HandOffError, OutboxRow, mark_sent};

/// Publishes, and marks the row whatever came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SwallowPublishError;

#[async_trait]
impl HandOff for SwallowPublishError {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        if let Err(error) = broker.publish(row.message()?).await {
            tracing::error!(event_id = row.event_id, %error, "not published");
        }
        mark_sent(database, row).await?;
        Ok(())
    }
}
