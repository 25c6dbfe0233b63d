//! `mark-before-ack`: a row counts as sent before the broker has it.

use async_trait::async_trait;
use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOff, HandOffError, OutboxRow, mark_sent};

/// Marks first, so that no event goes out twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkBeforeAck;

#[async_trait]
impl HandOff for MarkBeforeAck {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        mark_sent(database, row).await?;
        broker.publish(row.message()?).await?;
        Ok(())
    }
}
