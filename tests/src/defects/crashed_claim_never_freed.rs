//! `crashed-claim-never-freed`: rows that a crashed relay had claimed are nobody's any more.

use async_trait::async_trait;
use reference_system::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOff, HandOffError, OutboxRow, mark_sent};

use super::outbox::mark;

/// What `sent` says of a row that a relay is about to publish.
pub(super) const CLAIMED: i64 = 2;
pub(super) const UNSENT: i64 = 0;

/// Claims a row so that no other relay takes it, and gives it back when it could not be published.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClaimFirst;

#[async_trait]
impl HandOff for ClaimFirst {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        mark(database, row, CLAIMED).await?;
        if let Err(error) = broker.publish(row.message()?).await {
            mark(database, row, UNSENT).await?;
            return Err(error.into());
        }
        mark_sent(database, row).await?;
        Ok(())
    }
}
