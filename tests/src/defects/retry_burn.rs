//! `retry-burn`: whatever goes wrong counts as a failed attempt of the message.

use sqlx::AnyConnection;

use reference_system::Database;
use reference_system::Environment;
use reference_system::consumer::{self, Effect, Failure, Handler};
use reference_system::event::Event;
use scenarios::deploy::Processes;

/// Consumers that do not tell a broken message from a broken world.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryBurn;

impl Processes for RetryBurn {
    async fn consume<E: Environment, H: Handler>(&self, environment: E, handler: H) {
        consumer::run(environment, Blaming(handler)).await
    }
}

/// A handler that blames the message.
struct Blaming<H>(H);

fn blamed(failure: Failure) -> Failure {
    Failure::Permanent(failure.to_string())
}

impl<H: Handler> Handler for Blaming<H> {
    type Prepared = H::Prepared;

    fn consumer(&self) -> &'static str {
        self.0.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.0.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.0.handles()
    }

    async fn prepare(&self, database: &Database, event: &Event) -> Result<H::Prepared, Failure> {
        self.0.prepare(database, event).await.map_err(blamed)
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        event: &Event,
        prepared: H::Prepared,
    ) -> Result<Effect, Failure> {
        self.0.apply(tx, event, prepared).await.map_err(blamed)
    }
}
