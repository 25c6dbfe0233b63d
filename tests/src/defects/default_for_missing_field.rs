//! `default-for-missing-field`: whatever an event has more than the reader knows is left out, and what it lacks is zero.

use async_trait::async_trait;
use reference_system::consumer::{self, Effect, Failure, Handler, Prepared};
use reference_system::event::Event;
use reference_system::{Database, Environment};
use scenarios::deploy::Processes;
use sqlx::AnyConnection;

/// Consumers that read every version as the first one.
#[derive(Clone, Copy, Debug)]
pub(super) struct DefaultForMissingField;

#[async_trait(?Send)]
impl Processes for DefaultForMissingField {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        consumer::run(environment, Box::new(Lenient(handler))).await
    }
}

/// The event as somebody sees it who knows the first version of everything.
fn as_first_version(event: &Event) -> Event {
    Event {
        schema_version: 1,
        ..event.clone()
    }
}

/// A handler, or what it has prepared, that never looks at the version.
struct Lenient<T>(T);

#[async_trait]
impl Handler for Lenient<Box<dyn Handler>> {
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
        let prepared = self.0.prepare(database, &as_first_version(event)).await?;
        Ok(Box::new(Lenient(prepared)))
    }
}

#[async_trait]
impl Prepared for Lenient<Box<dyn Prepared>> {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        self.0.apply(tx, &as_first_version(event)).await
    }
}
