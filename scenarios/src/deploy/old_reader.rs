//! A consumer as it was before a contract had its present version: what is newer it cannot read, and says so.

use async_trait::async_trait;
use reference_system::Database;
use reference_system::consumer::{Failure, Handler, Prepared};
use reference_system::event::contract::event_type;
use reference_system::event::{DecodeError, Event};

/// A handler that reads `order.placed` up to a version.
pub(super) struct OldReader {
    pub(super) handler: Box<dyn Handler>,
    pub(super) newest: u32,
}

#[async_trait]
impl Handler for OldReader {
    fn consumer(&self) -> &'static str {
        self.handler.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.handler.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.handler.handles()
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        if event.event_type == event_type::ORDER_PLACED && event.schema_version > self.newest {
            return Err(Failure::from(DecodeError::SchemaVersion {
                event_type: event.event_type.clone(),
                found: event.schema_version,
            }));
        }
        self.handler.prepare(database, event).await
    }
}
