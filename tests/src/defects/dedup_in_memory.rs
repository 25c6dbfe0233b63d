//! `dedup-in-memory`: what was handled already is known as long as the process lives.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sqlx::AnyConnection;

use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::event::Event;
use reference_system::inbox::Inbox;
use scenarios::deploy::Processes;

/// Consumers that begin each life with an empty memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct DedupInMemory;

#[async_trait(?Send)]
impl Processes for DedupInMemory {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let inbox = Arc::new(Remembered::default());
        let environment = Environment {
            inbox,
            ..environment
        };
        consumer::run(environment, handler).await
    }
}

/// The ids of the events of one life.
#[derive(Default)]
struct Remembered(Mutex<BTreeSet<String>>);

#[async_trait]
impl Inbox for Remembered {
    async fn knows(&self, _: &mut AnyConnection, _: &str, id: &str) -> sqlx::Result<bool> {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ids.contains(id))
    }

    async fn first_time(
        &self,
        _: &mut AnyConnection,
        _: &str,
        event: &Event,
    ) -> sqlx::Result<bool> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ids.insert(event.id.to_string()))
    }
}
