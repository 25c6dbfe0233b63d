//! What the tests of all crates share: a job, the table of its effects, and the promise that is judged.
//!
//! Nothing of the crates under test is here.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use stormglass::checker::{Property, Verdict, Witness};
use stormglass::database::Database;
use stormglass::history::{Answer, History};
use stormglass::simulation::Settings;
use stormglass::{Machine, System};

/// The error of a service.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whether a handler takes care of a job that it has done before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handling {
    /// It does a job that it has done already for nothing.
    Idempotent,
    /// It does whatever it is handed.
    Naive,
}

/// Does a job, as the handler of any of the crates would.
pub(crate) async fn take_effect(pool: &PgPool, job: i64, handling: Handling) -> sqlx::Result<()> {
    let insert = match handling {
        Handling::Idempotent => {
            "INSERT INTO effects (job, key) VALUES ($1, $1) ON CONFLICT DO NOTHING"
        }
        Handling::Naive => "INSERT INTO effects (job) VALUES ($1)",
    };
    sqlx::query(insert).bind(job).execute(pool).await.map(drop)
}

/// An id for a job that no other has.
pub(crate) fn job() -> impl Strategy<Value = i64> {
    1..i64::MAX
}

/// A pool for a worker, or for a client.
pub(crate) async fn pool() -> sqlx::Result<PgPool> {
    PgPool::connect("postgres://jobs/jobs").await
}

/// A system of a worker and a database with the table of effects and what `schema` creates beside it.
pub(crate) fn system<F, Fut>(name: &str, schema: &str, worker: F) -> System
where
    F: Fn(Machine) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + 'static,
{
    let effects = "CREATE TABLE effects (number BIGSERIAL PRIMARY KEY, job BIGINT NOT NULL, key BIGINT UNIQUE);";
    let database = Database::new("jobs", format!("{effects}\n{schema}")).view(
        "effects",
        "SELECT job, count(*) AS times FROM effects GROUP BY job ORDER BY job",
    );
    // A worker's lease has to run out before somebody else takes its jobs up: nothing happens meanwhile.
    let settings = Settings {
        quiet: Duration::from_secs(20),
        liveness_bound: Duration::from_secs(180),
        operation_timeout: Duration::from_secs(40),
        ..Settings::default()
    };
    System::new(name)
        .postgres(database)
        .host("worker", worker)
        .instances("worker", 1..=2)
        .settings(settings)
        .property(EachJobOnce)
}

/// Each job that a client was told is enqueued takes effect, and none takes effect twice.
pub(crate) struct EachJobOnce;

#[derive(Deserialize, Serialize)]
struct Effect {
    job: i64,
    times: i64,
}

impl Property for EachJobOnce {
    fn id(&self) -> &str {
        "each-job-once"
    }

    fn promise(&self) -> &str {
        "each job takes effect once, and none that was enqueued is lost"
    }

    fn check(&self, history: &History) -> Verdict {
        let Some((end, rows)) = history.final_state("effects") else {
            return Verdict::Vacuous("the final state was not read".to_owned());
        };
        let rows = serde_json::to_value(rows).and_then(serde_json::from_value::<Vec<Effect>>);
        let rows = rows.expect("rows of the view");
        let times: BTreeMap<i64, i64> = rows.iter().map(|row| (row.job, row.times)).collect();
        let broken = |rule: &str, job: i64, index: u64| {
            let summary = format!("job {job}: {rule}");
            let (rule, chain) = (rule.to_owned(), vec![index, end]);
            Verdict::Broken(Witness {
                rule,
                summary,
                index: end,
                chain,
                ..Witness::default()
            })
        };
        let mut enqueued = 0;
        for asked in history.operations() {
            let Some(job) = asked.operation::<i64>() else {
                continue;
            };
            let done = asked.told.filter(|told| told.answer == Answer::Done);
            enqueued += u32::from(done.is_some());
            match times.get(&job) {
                None if done.is_some() => return broken("lost", job, asked.index),
                Some(2..) => return broken("took effect twice", job, asked.index),
                _ => {}
            }
        }
        match enqueued {
            0 => Verdict::Vacuous("no job was enqueued".to_owned()),
            _ => Verdict::Holds,
        }
    }
}
