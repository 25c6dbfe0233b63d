//! A consumer that nobody has started, until somebody does: what makes a group lag.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use tokio::time::sleep;

use super::Processes;
use super::time_of_run::time_of_run;

/// One consumer is absent; the others are there.
#[derive(Clone, Copy, Debug)]
pub struct AbsentConsumer {
    /// The consumer.
    pub consumer: &'static str,
    /// When it comes, counted from the beginning of a run.
    pub until: Duration,
}

#[async_trait(?Send)]
impl Processes for AbsentConsumer {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        if handler.consumer() == self.consumer {
            let absence = sleep(self.until.saturating_sub(time_of_run()));
            if environment
                .shutdown
                .unless_it_comes(absence)
                .await
                .is_none()
            {
                return;
            }
        }
        consumer::run(environment, handler).await;
    }
}
