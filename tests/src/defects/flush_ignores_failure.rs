//! `flush-ignores-failure`: a batch counts as sent though one of it was not.

use reference_system::database::Database;
use reference_system::ports::Broker;
use reference_system::relay::{HandOff, HandOffError, mark_sent};
use reference_system::{Settings, Shutdown};
use scenarios::deploy::Processes;

use super::outbox::{for_each_outbox, unsent};

/// A relay that publishes a page of rows and asks how it went as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlushIgnoresFailure;

impl Processes for FlushIgnoresFailure {
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
            flush(database, &broker).await
        })
        .await
    }
}

async fn flush<B: Broker>(database: &Database, broker: &B) -> Result<(), HandOffError> {
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
