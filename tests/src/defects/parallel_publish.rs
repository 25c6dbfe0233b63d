//! `parallel-publish`: a relay publishes a page of rows at once, and those that failed again.

use futures::future::join_all;
use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOff, HandOffError, OutboxRow, mark_sent};
use reference_system::{Settings, Shutdown};
use scenarios::deploy::Processes;

use super::outbox::{for_each_outbox, unsent};

/// A relay that waits for no row before the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParallelPublish;

impl Processes for ParallelPublish {
    async fn relay<B: Broker>(
        &self,
        _: &str,
        databases: Vec<Database>,
        broker: B,
        settings: Settings,
        _: impl HandOff,
        _: Shutdown,
    ) {
        for_each_outbox(databases, settings, async |database: &Database| {
            let rows = unsent(database).await?;
            let publishes = rows.iter().map(|row| publish(&broker, row));
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

async fn publish(broker: &impl Broker, row: &OutboxRow) -> Result<(), HandOffError> {
    Ok(broker.publish(row.message()?).await?)
}
