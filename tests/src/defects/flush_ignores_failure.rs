//! `flush-ignores-failure`: a batch counts as sent though one of it was not.

use async_trait::async_trait;
use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOffError, Relay};
use scenarios::deploy::Processes;

use super::outbox::{for_each_outbox, mark_sent, unsent};

/// A relay that publishes a page of rows and asks how it went as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlushIgnoresFailure;

#[async_trait(?Send)]
impl Processes for FlushIgnoresFailure {
    async fn relay(&self, relay: Relay) {
        for_each_outbox(&relay, async |database: &Database| {
            flush(database, relay.broker.as_ref()).await
        })
        .await
    }
}

async fn flush(database: &Database, broker: &dyn Broker) -> Result<(), HandOffError> {
    let rows = unsent(database).await?;
    let mut failed = None;
    let mut sent = 0;
    for row in &rows {
        match broker.publish(row.message()?).await {
            Ok(()) => sent += 1,
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if sent == 0 => return Err(error.into()),
        _ => {}
    }
    for row in &rows {
        mark_sent(database, row).await?;
    }
    Ok(())
}
