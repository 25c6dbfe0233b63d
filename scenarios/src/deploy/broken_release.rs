//! A release that cannot handle a single event, until it is rolled back: what floods a dead letter queue.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::consumer::{self, Failure, Handler, Prepared};
use reference_system::event::Event;
use reference_system::{Database, Environment};

use super::Processes;
use super::time_of_run::time_of_run;

/// One consumer runs the broken release; the others are as they should be.
#[derive(Clone, Copy, Debug)]
pub struct BrokenRelease {
    /// The consumer.
    pub consumer: &'static str,
    /// When the release is rolled back, counted from the beginning of a run.
    pub until: Duration,
}

#[async_trait(?Send)]
impl Processes for BrokenRelease {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        if handler.consumer() != self.consumer {
            return consumer::run(environment, handler).await;
        }
        let until = self.until;
        let broken = Broken { handler, until };
        consumer::run(environment, Box::new(broken)).await;
    }
}

/// What handles nothing before a moment.
struct Broken {
    handler: Box<dyn Handler>,
    until: Duration,
}

#[async_trait]
impl Handler for Broken {
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
        if time_of_run() < self.until {
            let problem = format!("no template for {}", event.event_type);
            return Err(Failure::Permanent(problem));
        }
        self.handler.prepare(database, event).await
    }
}
