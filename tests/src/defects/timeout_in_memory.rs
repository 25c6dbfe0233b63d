//! `timeout-in-memory`: a process waits for the deadlines that it has seen begin, and its next life knows of none of them.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::clock::now_ms;
use reference_system::saga::Timer;
use reference_system::saga::deadlines::passed;
use scenarios::deploy::{LIMITS, Processes};
use tokio::time::sleep;

/// A timer whose deadlines are those of its own life.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeoutInMemory;

#[async_trait(?Send)]
impl Processes for TimeoutInMemory {
    async fn timer(&self, timer: Timer) {
        let born_ms = now_ms();
        let shutdown = timer.environment.shutdown.clone();
        while !shutdown.has_come() {
            let due = passed(&timer.environment.database)
                .await
                .unwrap_or_default();
            for deadline in due {
                let began_ms = deadline.due_at_ms - millis(LIMITS.of(deadline.step));
                if began_ms >= born_ms
                    && let Err(error) = timer.act_on(&deadline).await
                {
                    tracing::warn!(%error, "will be tried again");
                }
            }
            shutdown.unless_it_comes(sleep(timer.every)).await;
        }
    }
}

fn millis(limit: Duration) -> i64 {
    i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)
}
