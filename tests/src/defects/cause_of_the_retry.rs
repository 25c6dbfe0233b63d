//! `cause-of-the-retry`: a message that is published again names the first try as its cause.

use async_trait::async_trait;
use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::ports::broker::header;
use reference_system::relay::{HandOff, HandOffError, OutboxRow, mark_sent};

/// Takes what was not acknowledged for a message that the next one answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct CauseOfTheRetry;

#[async_trait]
impl HandOff for CauseOfTheRetry {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        let mut message = row.message()?;
        if broker.publish(message.clone()).await.is_err() {
            let first = row.event_id.clone();
            message
                .headers
                .insert(header::CAUSATION_ID.to_owned(), first);
            broker.publish(message).await?;
        }
        mark_sent(database, row).await?;
        Ok(())
    }
}
