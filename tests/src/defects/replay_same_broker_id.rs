//! `replay-same-broker-id`: a replay is published under the message id of the first copy, which the broker still knows.

use async_trait::async_trait;
use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::ports::broker::header;
use reference_system::relay::{HandOff, HandOffError, OutboxRow, mark_sent};

/// Tells the broker the event's id, however often the event is published.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplaySameBrokerId;

#[async_trait]
impl HandOff for ReplaySameBrokerId {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        let mut message = row.message()?;
        let id = row.event_id.clone();
        message.headers.insert(header::MESSAGE_ID.to_owned(), id);
        broker.publish(message).await?;
        mark_sent(database, row).await?;
        Ok(())
    }
}
