//! `pg_task`: its documentation promises that a step reruns after a crash, so at least once.

use std::num::NonZeroUsize;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use pg_task::{NextStep, Step, StepResult, Worker};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::jobs::{Failure, Handling, job, pool, system, take_effect};

/// One step that does a job.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Effect {
    job: i64,
    is_naive: bool,
}

pg_task::task!(Task { Effect });
pg_task::scheduler!(Tasks { Task });

#[async_trait]
impl Step<Task> for Effect {
    const RETRY_LIMIT: i32 = 20;

    async fn step(self, pool: &PgPool) -> StepResult<Task> {
        let handling = match self.is_naive {
            true => Handling::Naive,
            false => Handling::Idempotent,
        };
        take_effect(pool, self.job, handling).await?;
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

async fn enqueue(job: i64, is_naive: bool) -> Result<(), Failure> {
    let task = Tasks::Task(Task::Effect(Effect { job, is_naive }));
    pg_task::enqueue(&pool().await?, &task).await?;
    Ok(())
}

/// The migrations of the crate, which it expects its user to run: read where cargo keeps the crate.
fn migrations() -> String {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version=1"])
        .output()
        .expect("cargo");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let own = packages
        .find(|package| package["name"] == "pg_task")
        .expect("pg_task");
    let manifest = std::path::Path::new(own["manifest_path"].as_str().expect("a path"));
    let folder = manifest.with_file_name("migrations");
    let files = folder.read_dir().expect("migrations").flatten();
    let mut files: Vec<_> = files.map(|file| file.path()).collect();
    files.sort();
    let files = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("SQL"));
    files.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_job_takes_effect_once_and_none_is_lost() {
    system("pg_task", &migrations(), |_| work())
        .operations(job, |job| enqueue(job, false))
        .check();
}

#[test]
fn a_step_that_is_not_idempotent_is_found_to_run_twice() {
    let found = system("naive pg_task", &migrations(), |_| work())
        .operations(job, |job| enqueue(job, true))
        .try_check();
    assert!(found.unwrap_err().to_string().contains("took effect twice"));
}
