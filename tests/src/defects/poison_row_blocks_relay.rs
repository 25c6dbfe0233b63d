//! `poison-row-blocks-relay`: a row that can never be published is tried for ever, ahead of every other key.

use async_trait::async_trait;
use reference_system::Database;
use reference_system::relay::Relay;
use scenarios::deploy::Processes;

use super::outbox::{for_each_outbox, mark_sent, unsent};

/// A relay that never goes on before a row is out, so that no order can be broken.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoisonRowBlocksRelay;

#[async_trait(?Send)]
impl Processes for PoisonRowBlocksRelay {
    async fn relay(&self, relay: Relay) {
        for_each_outbox(&relay, async |database: &Database| {
            for row in unsent(database).await? {
                relay.broker.publish(row.message()?).await?;
                mark_sent(database, &row).await?;
            }
            Ok(())
        })
        .await
    }
}
