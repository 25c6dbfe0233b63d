//! `parallel-publish`: a relay publishes a page of rows at once, and those that failed again.

use async_trait::async_trait;
use futures::future::join_all;
use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOffError, OutboxRow, Relay};
use scenarios::deploy::Processes;

use super::outbox::{for_each_outbox, mark_sent, unsent};

/// A relay that waits for no row before the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParallelPublish;

#[async_trait(?Send)]
impl Processes for ParallelPublish {
    async fn relay(&self, relay: Relay) {
        for_each_outbox(&relay, async |database: &Database| {
            let rows = unsent(database).await?;
            let publishes = rows.iter().map(|row| publish(relay.broker.as_ref(), row));
            let published = join_all(publishes).await;
            for (row, published) in rows.iter().zip(&published) {
                if published.is_ok() {
                    mark_sent(database, row).await?;
                }
            }
            published.into_iter().collect()
        })
        .await
    }
}

async fn publish(broker: &dyn Broker, row: &OutboxRow) -> Result<(), HandOffError> {
    Ok(broker.publish(row.message()?).await?)
}
