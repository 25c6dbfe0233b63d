//! `retry-burn`: whatever goes wrong counts as a failed attempt of the message.

use async_trait::async_trait;
use sqlx::AnyConnection;

use reference_system::Database;
use reference_system::Environment;
use reference_system::consumer::{self, Effect, Failure, Handler, Prepared};
use reference_system::event::Event;
use scenarios::deploy::Processes;

/// Consumers that do not tell a broken message from a broken world.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryBurn;

#[async_trait(?Send)]
impl Processes for RetryBurn {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        consumer::run(environment, Box::new(Blaming(handler))).await
    }
}

/// A handler, or what it has prepared, that blames the message.
struct Blaming<T: ?Sized>(Box<T>);

fn blamed(failure: Failure) -> Failure {
    Failure::Permanent(failure.to_string())
}

#[async_trait]
impl Handler for Blaming<dyn Handler> {
    fn consumer(&self) -> &'static str {
        self.0.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.0.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.0.handles()
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let prepared = self.0.prepare(database, event).await.map_err(blamed)?;
        Ok(Box::new(Blaming(prepared)))
    }
}

#[async_trait]
impl Prepared for Blaming<dyn Prepared> {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        self.0.apply(tx, event).await.map_err(blamed)
    }
}
