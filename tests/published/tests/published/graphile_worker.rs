//! `graphile_worker`: a job that fails or whose worker dies runs again, so at least once.

use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, TaskHandler, WorkerContext, WorkerOptions,
    WorkerRecoveryConfig, WorkerUtils,
};
use graphile_worker_migrations::sql::GRAPHILE_WORKER_MIGRATIONS;
use serde::{Deserialize, Serialize};
use stormglass::System;

use crate::jobs::{Failure, ONCE, job, pool, system, take_effect};

const SCHEMA: &str = "graphile_worker";

#[derive(Clone, Deserialize, Serialize)]
struct Effect {
    job: i64,
}

impl TaskHandler for Effect {
    const IDENTIFIER: &'static str = "effect";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let done = take_effect(context.pg_pool(), self.job).await;
        done.map_err(|error| error.to_string())
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
        .schema(SCHEMA)
        .concurrency(2)
        .worker_recovery(recovery)
        .listen_os_shutdown_signals(false)
        .define_job::<Effect>()
        .init()
        .await?;
    Ok(worker.run().await?)
}

async fn enqueue(job: i64) -> Result<(), Failure> {
    let utils = WorkerUtils::new(pool().await?, SCHEMA);
    let added = utils.add_job(Effect { job }, JobSpec::default()).await;
    Ok(added.map(drop)?)
}

/// What the first worker would install.
fn migrations() -> String {
    let mut all = format!(
        "CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.migrations (id INT PRIMARY KEY, \
         ts TIMESTAMPTZ DEFAULT now() NOT NULL, breaking BOOLEAN NOT NULL DEFAULT false);"
    );
    for migration in GRAPHILE_WORKER_MIGRATIONS {
        let (number, is_breaking) = (migration.migration_number(), migration.is_breaking());
        for statement in migration.stmts {
            all += &statement.replace(":GRAPHILE_WORKER_SCHEMA", SCHEMA);
            all += ";";
        }
        all += &format!(
            "INSERT INTO {SCHEMA}.migrations (id, breaking) VALUES ({number}, {is_breaking});"
        );
    }
    all
}

pub(crate) fn right_system() -> System {
    let schema = [ONCE, &migrations()].concat();
    system("graphile_worker", &schema, |_| work()).operations(job, enqueue)
}

#[test]
fn each_job_takes_effect_once_and_none_is_lost() {
    right_system().check();
}
