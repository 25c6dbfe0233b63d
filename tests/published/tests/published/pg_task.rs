//! `pg_task`: its documentation promises that a step reruns after a crash, so at least once.

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;
use pg_task::{NextStep, Step, StepResult, Worker};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use stormglass::System;

use crate::jobs::{EVERY_TIME, Failure, ONCE, job, pool, sql_of, system, take_effect};

/// One step that does a job.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Effect {
    job: i64,
}

pg_task::task!(Task { Effect });
pg_task::scheduler!(Tasks { Task });

#[async_trait]
impl Step<Task> for Effect {
    const RETRY_LIMIT: i32 = 20;

    async fn step(self, pool: &PgPool) -> StepResult<Task> {
        take_effect(pool, self.job).await?;
        NextStep::none()
    }
}

async fn work() -> Result<(), Failure> {
    let worker = Worker::<Tasks>::new(pool().await?)
        .with_concurrency(NonZeroUsize::MIN.saturating_add(1))
        .with_lease_timeout(Duration::from_secs(5))
        .with_heartbeat_interval(Duration::from_secs(1));
    Ok(worker.run().await?)
}

async fn enqueue(job: i64) -> Result<(), Failure> {
    let task = Tasks::Task(Task::Effect(Effect { job }));
    pg_task::enqueue(&pool().await?, &task).await?;
    Ok(())
}

fn tasks(name: &str, effects: &str) -> System {
    let schema = [effects, &sql_of("pg_task", "migrations")].join("\n");
    system(name, &schema, |_| work()).operations(job, enqueue)
}

pub(crate) fn right_system() -> System {
    tasks("pg_task", ONCE)
}

#[test]
fn each_job_takes_effect_once_and_none_is_lost() {
    right_system().check();
}

#[test]
fn a_step_that_is_not_idempotent_is_found_to_run_twice() {
    let found = tasks("naive pg_task", EVERY_TIME).try_check();
    let told = found.unwrap_err().to_string();
    assert!(told.contains("took effect twice"), "{told}");
}
