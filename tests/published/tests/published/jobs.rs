//! What the tests of all crates share: a job, the table of its effects, and the promise that is judged.
//!
//! Nothing of the crates under test is here.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use stormglass::checker::OperationOnce;
use stormglass::database::{Database, Probe};
use stormglass::simulation::Settings;
use stormglass::{Machine, System};

/// The error of a service.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A table of effects in which a job that is done again changes nothing.
pub(crate) const ONCE: &str =
    "CREATE TABLE effects (number BIGSERIAL PRIMARY KEY, job BIGINT NOT NULL UNIQUE);";

/// A table of effects in which a job that is done again is done twice.
pub(crate) const EVERY_TIME: &str =
    "CREATE TABLE effects (number BIGSERIAL PRIMARY KEY, job BIGINT NOT NULL);";

/// An id for a job that no other has.
pub(crate) fn job() -> impl Strategy<Value = i64> {
    1..i64::MAX
}

/// Does a job.
pub(crate) async fn take_effect<'c>(
    database: impl sqlx::PgExecutor<'c>,
    job: i64,
) -> sqlx::Result<()> {
    let insert = sqlx::query("INSERT INTO effects (job) VALUES ($1) ON CONFLICT DO NOTHING");
    insert.bind(job).execute(database).await.map(drop)
}

/// A pool for a worker, or for a client.
pub(crate) async fn pool() -> sqlx::Result<PgPool> {
    // The worker of a machine that is gone would keep its jobs locked for hours.
    let limits = [("idle_in_transaction_session_timeout", "5s")];
    let server: PgConnectOptions = "postgres://jobs/jobs".parse()?;
    PgPoolOptions::new()
        .connect_with(server.options(limits))
        .await
}

/// One or two workers, and a database with this schema.
pub(crate) fn system<F, Fut>(name: &str, schema: &str, worker: F) -> System
where
    F: Fn(Machine) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + 'static,
{
    let effects = "SELECT number AS position, job AS event_id FROM effects WHERE number > $1 \
                   ORDER BY number";
    let database = Database::new("jobs", schema).probe(Probe::applied(effects).by("worker"));
    // Nothing happens while a dead worker's lease runs out, or while a pool waits for a connection, 30 seconds unless set.
    let settings = Settings {
        quiet: Duration::from_secs(45),
        liveness_bound: Duration::from_secs(180),
        operation_timeout: Duration::from_secs(40),
        ..Settings::default()
    };
    System::new(name)
        .postgres(database)
        .host("worker", worker)
        .instances("worker", 1..=2)
        .settings(settings)
        .seeds(40)
        .property(OperationOnce::known_by(|job: i64| job))
}

/// What a crate brings for the database, and expects its user to run: the files of this name, read where cargo keeps
/// the crate, or all those of the folder.
pub(crate) fn sql_of(package: &str, name: &str) -> String {
    // Without a platform cargo asks for what is only needed on others, and may not have it.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version=1"])
        .args(["--filter-platform", &platform])
        .output()
        .expect("cargo");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let own = packages.find(|own| own["name"] == package).expect(package);
    let manifest = own["manifest_path"].as_str().expect("a path");
    let path = Path::new(manifest).with_file_name(name);
    let mut files = match path.read_dir() {
        Ok(folder) => folder.flatten().map(|file| file.path()).collect(),
        Err(_) => vec![path],
    };
    files.sort();
    let files = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("SQL"));
    files.collect::<Vec<_>>().join("\n")
}
