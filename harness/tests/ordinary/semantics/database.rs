//! Statements and commits, on a file of SQLite and on a server of PostgreSQL alike.
#![expect(
    clippy::disallowed_methods,
    reason = "a service asks the clock, which is its machine's"
)]

use std::time::{Duration, Instant};

use sqlx::{AnyPool, any::AnyPoolOptions};
use stormglass::System;
use stormglass::database::Database;
use stormglass::history::What;
use stormglass::plan::{Call, CommitFault, Side, StatementFault};

use super::{Seen, Stage};

const SCHEMA: &str = "CREATE TABLE notes (note INTEGER PRIMARY KEY)";

/// Writes a note a second in a transaction of its own, and says how that went.
async fn scribe(url: String) -> Result<(), sqlx::Error> {
    sqlx::any::install_default_drivers();
    let pool = AnyPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await?;
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
    let insert = sqlx::query("INSERT INTO notes (note) VALUES ($1)");
    insert.bind(note).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Runs it on both engines, which have to say the same; gives what was said, and the sum of the notes that are there.
fn on_both(disturb: impl Fn(Stage) -> Stage) -> (Vec<String>, i64) {
    let database = || {
        Database::new("notes", SCHEMA)
            .view("sum", "SELECT CAST(SUM(note) AS BIGINT) AS sum FROM notes")
    };
    let systems = [
        System::new("notes on SQLite").sqlite(database()),
        System::new("notes on PostgreSQL").postgres(database()),
    ];
    let [one, other] = systems.map(|system| {
        let system = system.host("scribe", |machine| scribe(machine.url("notes").to_owned()));
        let seen: Seen = disturb(Stage::of(system)).run();
        let said = seen.said("scribe").into_iter().map(str::to_owned).collect();
        let committed = seen.count(|event| matches!(event.what, What::Committed { .. }));
        assert!(committed > 0, "commits are seen");
        (said, seen.number("sum"))
    });
    assert_eq!(one, other);
    one
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
