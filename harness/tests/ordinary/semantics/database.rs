//! Statements and commits, on a file of SQLite and on a server of PostgreSQL alike.
#![expect(
    clippy::disallowed_methods,
    reason = "a service asks the clock, which is its machine's"
)]

use std::time::{Duration, Instant};

use sqlx::{Acquire, AnyPool, any::AnyPoolOptions};
use stormglass::System;
use stormglass::database::{Database, Engine, Probe};
use stormglass::history::What;
use stormglass::plan::{Call, CommitFault, Incident, Side, StatementFault};

use super::{Seen, Stage, idle};

const SCHEMA: &str = "CREATE TABLE notes (note INTEGER PRIMARY KEY)";

const INSERT: &str = "INSERT INTO notes (note) VALUES ($1)";

async fn connect(url: &str) -> sqlx::Result<AnyPool> {
    sqlx::any::install_default_drivers();
    AnyPoolOptions::new().max_connections(2).connect(url).await
}

/// Writes a note a second in a transaction of its own, and says how that went.
async fn scribe(url: String) -> Result<(), sqlx::Error> {
    let pool = connect(&url).await?;
    for note in 1..=3_i64 {
        let began = Instant::now();
        match write(&pool, note).await {
            Ok(()) => tracing::info!("wrote {note} within {:?}", coarse(began.elapsed())),
            Err(_) => tracing::info!("failed at {note}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    std::future::pending().await
}

/// Seconds, so that latencies do not show.
fn coarse(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

async fn write(pool: &AnyPool, note: i64) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let insert = sqlx::query(INSERT);
    insert.bind(note).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// What is the same on both engines.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    said: Vec<String>,
    /// The sum of the notes that are there.
    sum: i64,
    /// Commits, and what a probe has seen of them.
    commits: Vec<&'static str>,
}

/// Runs a service on both engines, where every fault has an effect.
fn run_on_both<F>(service: fn(String) -> F, disturb: impl Fn(Stage) -> Stage) -> Told
where
    F: Future<Output = Result<(), sqlx::Error>> + 'static,
{
    run_with(service, |stage| disturb(stage).run())
}

fn run_with<F>(service: fn(String) -> F, carry_out: impl Fn(Stage) -> Seen) -> Told
where
    F: Future<Output = Result<(), sqlx::Error>> + 'static,
{
    let applied = "SELECT note AS position, CAST(note AS TEXT) AS event_id FROM notes \
                   WHERE note > $1 ORDER BY note";
    let sum = "SELECT CAST(COALESCE(SUM(note), 0) AS BIGINT) AS sum FROM notes";
    let database = || {
        let database = Database::new("notes", SCHEMA).view("sum", sum);
        database.probe(Probe::applied(applied).by("scribe"))
    };
    let systems = [
        System::new("notes on SQLite").sqlite(database()),
        System::new("notes on PostgreSQL").postgres(database()),
    ];
    let [one, other] = systems.map(|system| {
        let system = system.host("scribe", move |machine| {
            service(machine.url("notes").to_owned())
        });
        let seen = carry_out(Stage::of(system));
        let commits = seen.0.events.iter().filter_map(|event| match event.what {
            What::Committed { .. } => Some("committed"),
            What::Observed { .. } => Some("observed"),
            _ => None,
        });
        Told {
            said: seen.said("scribe").into_iter().map(str::to_owned).collect(),
            sum: seen.number("sum"),
            commits: commits.collect(),
        }
    });
    assert_eq!(one, other);
    one
}

/// Runs the scribe on both engines; gives what it said, and the sum of the notes that are there.
fn on_both(disturb: impl Fn(Stage) -> Stage) -> (Vec<String>, i64) {
    let told = run_on_both(scribe, disturb);
    assert!(told.commits.contains(&"committed"), "commits are seen");
    (told.said, told.sum)
}

fn texts(said: &[String]) -> Vec<&str> {
    said.iter().map(String::as_str).collect()
}

#[test]
fn what_is_committed_stays() {
    let (said, sum) = on_both(|stage| stage);
    assert_eq!(
        texts(&said),
        [
            "wrote 1 within 0ns",
            "wrote 2 within 0ns",
            "wrote 3 within 0ns"
        ]
    );
    assert_eq!(sum, 6);
}

#[test]
fn a_lost_commit_fails_and_is_not_there() {
    let (said, sum) = on_both(|stage| stage.strike("scribe", 2, CommitFault::Lost));
    assert_eq!(said[1], "failed at 2");
    assert_eq!(sum, 4);
}

#[test]
fn a_commit_whose_answer_is_lost_fails_and_is_there() {
    let (said, sum) = on_both(|stage| stage.strike("scribe", 2, CommitFault::AnswerLost));
    assert_eq!(said[1], "failed at 2");
    assert_eq!(sum, 6);
}

#[test]
fn a_crash_before_a_commit_leaves_nothing_of_it() {
    let (said, sum) = on_both(|stage| stage.crash(Side::Before, "scribe", Call::Commit, 2));
    // Healed, it starts again, and meets the first note.
    assert_eq!(texts(&said[..2]), ["wrote 1 within 0ns", "failed at 1"]);
    assert_eq!(sum, 6);
}

#[test]
fn a_crash_after_a_commit_leaves_all_of_it() {
    let (said, sum) = on_both(|stage| stage.crash(Side::After, "scribe", Call::Commit, 2));
    assert_eq!(
        texts(&said[..3]),
        ["wrote 1 within 0ns", "failed at 1", "failed at 2"]
    );
    assert_eq!(sum, 6);
}

#[test]
fn a_slow_statement_takes_longer() {
    let slow = StatementFault::Slow { delay_ms: 2_500 };
    let (said, sum) = on_both(|stage| stage.strike("scribe", 1, slow.clone()));
    assert_eq!(said[0], "wrote 1 within 2s");
    assert_eq!(sum, 6);
}

#[test]
fn a_statement_that_fails_undoes_its_transaction() {
    // Each transaction has two: its beginning and the insert. SQLite begins without a look at the file.
    let (said, sum) = on_both(|stage| stage.strike("scribe", 4, StatementFault::Error));
    assert_eq!(said[1], "failed at 2");
    assert_eq!(sum, 4);
}

/// Writes two notes in a transaction that is begun and committed in plain SQL.
async fn write_in_plain_sql(url: String) -> Result<(), sqlx::Error> {
    let pool = connect(&url).await?;
    let written = async {
        let mut connection = pool.acquire().await?;
        sqlx::query("BEGIN").execute(&mut *connection).await?;
        for note in 1..=2_i64 {
            let insert = sqlx::query(INSERT).bind(note);
            insert.execute(&mut *connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut *connection).await
    };
    match written.await {
        Ok(_) => tracing::info!("written"),
        Err(_) => tracing::info!("failed"),
    }
    idle().await
}

#[test]
fn a_transaction_in_plain_sql_is_observed_when_it_commits() {
    let told = run_on_both(write_in_plain_sql, |stage| stage);
    assert_eq!(told.commits, ["committed", "observed", "observed"]);
}

#[test]
fn a_transaction_in_plain_sql_is_struck_as_a_whole() {
    for (strike, sum) in [(CommitFault::Lost, 0), (CommitFault::AnswerLost, 3)] {
        let told = run_on_both(write_in_plain_sql, |stage| {
            stage.strike("scribe", 1, strike.clone())
        });
        assert_eq!((texts(&told.said), told.sum), (vec!["failed"], sum));
    }
}

/// Writes one note, one in a nested transaction that is given up, and one in a nested one that is kept.
async fn write_nested(url: String) -> Result<(), sqlx::Error> {
    let pool = connect(&url).await?;
    let written = async {
        let mut outer = pool.begin().await?;
        sqlx::query(INSERT).bind(1_i64).execute(&mut *outer).await?;
        let mut dropped = outer.begin().await?;
        let insert = sqlx::query(INSERT).bind(2_i64);
        insert.execute(&mut *dropped).await?;
        drop(dropped);
        let mut kept = outer.begin().await?;
        sqlx::query(INSERT).bind(4_i64).execute(&mut *kept).await?;
        kept.commit().await?;
        outer.commit().await
    };
    match written.await {
        Ok(()) => tracing::info!("written"),
        Err(_) => tracing::info!("failed"),
    }
    idle().await
}

#[test]
fn a_nested_transaction_is_a_savepoint() {
    let told = run_on_both(write_nested, |stage| stage);
    assert_eq!((texts(&told.said), told.sum), (vec!["written"], 5));
    assert_eq!(told.commits, ["committed", "observed", "observed"]);
    // What a nested transaction kept goes with the outer one.
    let lost = |stage: Stage| stage.strike("scribe", 1, CommitFault::Lost);
    let told = run_on_both(write_nested, lost);
    assert_eq!((texts(&told.said), told.sum), (vec!["failed"], 0));
}

#[test]
fn the_server_that_databases_share_can_be_far_away() {
    let system = System::new("notes on a server they share")
        .database(Database::new("notes", SCHEMA))
        .on(Engine::Postgres)
        .host("scribe", |machine| scribe(machine.url("notes").to_owned()));
    let (a, b) = ("scribe".to_owned(), "postgres".to_owned());
    let slow = Incident::Latency {
        a,
        b,
        latency_ms: 600,
        for_ms: 10_000,
    };
    let seen = Stage::of(system).at_ms(0, slow).run_biting(&[0]);
    let said = seen.said("scribe");
    assert!(said[0].starts_with("wrote 1 within "), "{said:?}");
    assert!(said[0] != "wrote 1 within 0ns", "{said:?}");
}

fn full_disk(for_ms: u64) -> Incident {
    let database = "notes".to_owned();
    Incident::DiskFull { database, for_ms }
}

#[test]
fn what_is_written_while_the_disk_is_full_fails_and_is_not_there() {
    let (said, sum) = on_both(|stage| stage.at_ms(700, full_disk(800)));
    assert_eq!(said[1], "failed at 2");
    assert_eq!(said[2], "wrote 3 within 0ns");
    assert_eq!(sum, 4);
}

/// Begins to write while there is room, goes on where there is none, and says what it is told.
async fn write_slowly(url: String) -> Result<(), sqlx::Error> {
    let pool = connect(&url).await?;
    let mut transaction = pool.begin().await?;
    let insert = sqlx::query(INSERT).bind(1_i64);
    insert.execute(&mut *transaction).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = sqlx::query("SELECT note FROM notes").fetch_one(&mut *transaction);
    read.await?;
    let told = match transaction.commit().await {
        Ok(()) => "written".to_owned(),
        Err(error) => error.to_string(),
    };
    let is_full = ["database or disk is full", "No space left on device"];
    let is_full = is_full.iter().any(|own| told.contains(own));
    tracing::info!("disk full: {is_full}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = write(&pool, 2).await;
    tracing::info!("written again: {}", again.is_ok());
    idle().await
}

#[test]
fn a_transaction_that_has_written_cannot_commit_while_the_disk_is_full() {
    let told = run_on_both(write_slowly, |stage| stage.at_ms(500, full_disk(1_000)));
    assert_eq!(
        texts(&told.said),
        ["disk full: true", "written again: true"]
    );
    assert_eq!(told.sum, 2);
}

/// Writes before the disk is full, and reads while it is.
async fn read_later(url: String) -> Result<(), sqlx::Error> {
    let pool = connect(&url).await?;
    write(&pool, 1).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = sqlx::query("SELECT note FROM notes").fetch_one(&pool).await;
    tracing::info!("read: {}", read.is_ok());
    idle().await
}

#[test]
fn who_only_reads_does_not_meet_a_full_disk() {
    let told = run_with(read_later, |stage| {
        stage.at_ms(500, full_disk(1_000)).run_biting(&[])
    });
    assert_eq!(texts(&told.said), ["read: true"]);
}
