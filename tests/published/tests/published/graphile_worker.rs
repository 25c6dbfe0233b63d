//! `graphile_worker`: a job that fails or whose worker dies runs again, so at least once.

use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, TaskHandler, WorkerContext, WorkerOptions,
    WorkerRecoveryConfig, WorkerUtils,
};
use serde::{Deserialize, Serialize};

use crate::jobs::{Failure, Handling, job, pool, system, take_effect};

#[derive(Clone, Deserialize, Serialize)]
struct Effect {
    job: i64,
    is_naive: bool,
}

impl TaskHandler for Effect {
    const IDENTIFIER: &'static str = "effect";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let handling = match self.is_naive {
            true => Handling::Naive,
            false => Handling::Idempotent,
        };
        take_effect(context.pg_pool(), self.job, handling)
            .await
            .map_err(|error| error.to_string())
    }
}

async fn work() -> Result<(), Failure> {
    let recovery = WorkerRecoveryConfig::default()
        .heartbeat_interval(Duration::from_secs(1))
        .sweep_interval(Duration::from_secs(2))
        .sweep_threshold(Duration::from_secs(5))
        .recovery_delay(Duration::from_secs(1));
    let worker = WorkerOptions::default()
        .pg_pool(pool().await?)
        .schema("graphile_worker")
        .concurrency(2)
        .worker_recovery(recovery)
        .listen_os_shutdown_signals(false)
        .define_job::<Effect>()
        .init()
        .await?;
    Ok(worker.run().await?)
}

/// Asks again while the database refuses it, as it does until a worker has run the migrations.
async fn enqueue(job: i64, is_naive: bool) -> Result<(), Failure> {
    let utils = WorkerUtils::new(pool().await?, "graphile_worker");
    loop {
        let added = utils
            .add_job(Effect { job, is_naive }, JobSpec::default())
            .await;
        match added.map_err(|error| error.to_string()) {
            Err(error) if error.contains("error returned from database") => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            added => return Ok(added.map(drop)?),
        }
    }
}

#[test]
fn each_job_takes_effect_once_and_none_is_lost() {
    system("graphile_worker", "", |_| work())
        .operations(job, |job| enqueue(job, false))
        .check();
}

#[test]
fn a_job_that_is_not_idempotent_is_found_to_run_twice() {
    let found = system("naive graphile_worker", "", |_| work())
        .operations(job, |job| enqueue(job, true))
        .try_check();
    assert!(found.unwrap_err().to_string().contains("took effect twice"));
}
