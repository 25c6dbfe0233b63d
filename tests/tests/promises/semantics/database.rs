//! Commits that are struck, and writers that wait for one another.

use std::time::Duration;

use sqlx::Sqlite;
use stormglass::Host;
use stormglass::database::{Database, Pool, Probe};
use stormglass::history::What;
use stormglass::plan::{Call, CommitFault, Incident, PublishFault, StatementFault, Strike};
use tokio::time::sleep;

use super::stage::{Seen, Stage, idle};

const SCHEMA: &str = "CREATE TABLE notes (position INTEGER PRIMARY KEY, note TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO notes (note) VALUES ($1)";

/// How a writer goes about it.
#[derive(Clone, Copy)]
struct Writing {
    note: &'static str,
    after: Duration,
    held_for: Duration,
}

/// Writes one note in a transaction of its own, and says how that went.
async fn write(host: Host, writing: Writing) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    if host.incarnation() > 1 {
        return idle().await;
    }
    sleep(writing.after).await;
    let written = async {
        let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
        let inserted = sqlx::query(INSERT).bind(writing.note);
        inserted.execute(&mut *transaction).await?;
        sleep(writing.held_for).await;
        transaction.commit().await
    };
    match written.await {
        Ok(()) => tracing::info!("written"),
        Err(error) => tracing::info!("failed: {error}"),
    }
    idle().await
}

fn writers(writings: &[Writing]) -> Stage {
    let notebook =
        Database::new("notebook", SCHEMA).view("notes", "SELECT note FROM notes ORDER BY position");
    Stage::new().with(|system| {
        writings
            .iter()
            .fold(system.database(notebook), |system, &writing| {
                system.ported_host(writing.note, move |host| write(host, writing))
            })
    })
}

const ADA: Writing = Writing {
    note: "ada",
    after: Duration::from_millis(100),
    held_for: Duration::ZERO,
};

fn struck(strike: impl Into<Strike>) -> Seen {
    let seen = writers(&[ADA]).strike("ada", 1, strike).run();
    assert_eq!(seen.run.bitten, [0], "{}", seen.text());
    seen
}

const LOST: &str = "failed: error communicating with database: connection to the database lost";

const LOCKED: &str = "failed: error returned from database: (code: 5) database is locked";

#[test]
fn a_lost_commit_writes_nothing_and_fails() {
    let seen = struck(CommitFault::Lost);
    assert!(seen.notes().is_empty());
    assert_eq!(seen.said("ada"), [LOST]);
}

#[test]
fn a_commit_whose_answer_is_lost_stands_and_fails_all_the_same() {
    let seen = struck(CommitFault::AnswerLost);
    assert_eq!(seen.notes(), ["ada"]);
    assert_eq!(seen.said("ada"), [LOST]);
}

/// Begins a transaction and does not wait for the answer as long as the host stands still.
async fn give_up_beginning(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    tokio::select! {
        biased;
        () = sleep(Duration::from_millis(500)) => tracing::info!("gave up"),
        _ = database.begin_with("BEGIN IMMEDIATE") => tracing::info!("begun"),
    }
    idle().await
}

#[test]
fn a_transaction_whose_beginning_nobody_waits_for_is_rolled_back() {
    let pause = Incident::Pause {
        host: "bob".to_owned(),
        for_ms: 1_000,
    };
    let late = Writing {
        after: Duration::from_secs(2),
        ..ADA
    };
    let stage = writers(&[late]).with(|system| system.ported_host("bob", give_up_beginning));
    let seen = stage.after("bob", Call::Statement, 1, pause).run();
    assert_eq!(seen.said("bob"), ["gave up"], "{}", seen.text());
    assert_eq!(seen.said("ada"), ["written"], "{}", seen.text());
}

/// Writes two notes in a transaction that is begun and committed in plain SQL.
async fn write_in_plain_sql(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    if host.incarnation() > 1 {
        return idle().await;
    }
    let written = async {
        let mut connection = database.acquire().await?;
        sqlx::query("BEGIN").execute(&mut *connection).await?;
        for note in ["one", "two"] {
            let inserted = sqlx::query(INSERT).bind(note);
            inserted.execute(&mut connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut connection).await
    };
    match written.await {
        Ok(_) => tracing::info!("written"),
        Err(error) => tracing::info!("failed: {error}"),
    }
    idle().await
}

fn plain_sql() -> Stage {
    let notes = "SELECT position, note AS event_id FROM notes WHERE position > $1";
    let notebook = Database::new("notebook", SCHEMA)
        .probe(Probe::applied(notes).by("ada"))
        .view("notes", "SELECT note FROM notes ORDER BY position");
    Stage::new().with(|system| {
        system
            .database(notebook)
            .ported_host("ada", write_in_plain_sql)
    })
}

#[test]
fn a_transaction_in_plain_sql_is_observed_when_it_commits() {
    let seen = plain_sql().run();
    let kinds = seen.of("ada").filter_map(|event| match &event.what {
        What::Committed { .. } => Some("committed"),
        What::Observed { .. } => Some("observed"),
        _ => None,
    });
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds, ["committed", "observed", "observed"]);
}

#[test]
fn a_transaction_in_plain_sql_is_struck_as_a_whole() {
    let struck = |strike: CommitFault| {
        let seen = plain_sql().strike("ada", 1, strike).run();
        assert_eq!(seen.run.bitten, [0], "{}", seen.text());
        assert_eq!(seen.said("ada"), [LOST]);
        seen
    };
    assert!(struck(CommitFault::Lost).notes().is_empty());
    let seen = struck(CommitFault::AnswerLost);
    assert_eq!(seen.notes(), ["one", "two"]);
}

/// Writes one note, one in a nested transaction that is given up, and one in a nested one that is kept.
async fn write_nested(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    if host.incarnation() > 1 {
        return idle().await;
    }
    let written = async {
        let mut outer = database.begin().await?;
        sqlx::query(INSERT)
            .bind("outer")
            .execute(&mut *outer)
            .await?;
        let mut dropped = outer.begin().await?;
        sqlx::query(INSERT)
            .bind("dropped")
            .execute(&mut *dropped)
            .await?;
        drop(dropped);
        let mut kept = outer.begin().await?;
        sqlx::query(INSERT).bind("kept").execute(&mut *kept).await?;
        kept.commit().await?;
        outer.commit().await
    };
    match written.await {
        Ok(()) => tracing::info!("written"),
        Err(error) => tracing::info!("failed: {error}"),
    }
    idle().await
}

#[test]
fn a_nested_transaction_is_a_savepoint() {
    let notebook =
        Database::new("notebook", SCHEMA).view("notes", "SELECT note FROM notes ORDER BY position");
    let stage = || {
        let notebook = notebook.clone();
        Stage::new().with(|system| system.database(notebook).ported_host("ada", write_nested))
    };
    let seen = stage().run();
    assert_eq!(seen.said("ada"), ["written"]);
    assert_eq!(seen.notes(), ["outer", "kept"]);
    // What a nested transaction kept goes with the outer one.
    let seen = stage().strike("ada", 1, CommitFault::Lost).run();
    assert!(seen.notes().is_empty(), "{}", seen.text());
}

#[test]
fn a_failed_statement_fails_its_transaction() {
    let seen = struck(StatementFault::Error);
    assert!(seen.notes().is_empty());
    assert_eq!(seen.said("ada"), [LOST]);
}

#[test]
fn a_slow_statement_is_slow_in_virtual_time() {
    let seen = writers(&[ADA])
        .strike("ada", 2, StatementFault::Slow { delay_ms: 700 })
        .run();
    assert_eq!(seen.notes(), ["ada"]);
    let written = seen.said_at("ada", "written");
    assert!((800..850).contains(&written.as_millis()), "{written:?}");
}

#[test]
fn a_lock_is_waited_for_and_given_up_after_five_seconds() {
    for (for_ms, said) in [(800, "written"), (6_000, LOCKED)] {
        let locked = StatementFault::Locked { for_ms };
        let seen = writers(&[ADA]).strike("ada", 2, locked).run();
        assert_eq!(seen.said("ada"), [said]);
        let waited = seen.said_at("ada", said).as_millis();
        let expected = 100 + u128::from(for_ms.min(5_000));
        assert!((expected..expected + 50).contains(&waited), "{waited} ms");
    }
}

/// Reads, waits, and then writes in the same transaction.
async fn read_then_write(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    if host.incarnation() > 1 {
        return idle().await;
    }
    sleep(Duration::from_millis(300)).await;
    let written = async {
        let mut transaction = database.begin().await?;
        let _: i64 = sqlx::query_scalar("SELECT count(*) FROM notes")
            .fetch_one(&mut *transaction)
            .await?;
        let inserted = sqlx::query(INSERT).bind("ben");
        inserted.execute(&mut *transaction).await?;
        transaction.commit().await
    };
    match written.await {
        Ok(()) => tracing::info!("written"),
        Err(error) => tracing::info!("failed: {error}"),
    }
    idle().await
}

#[test]
fn sqlite_does_not_wait_for_a_lock_once_the_transaction_has_read() {
    let holder = Writing {
        held_for: Duration::from_secs(1),
        ..ADA
    };
    let stage = writers(&[holder]).with(|system| system.ported_host("ben", read_then_write));
    let seen = stage.run();
    assert_eq!(seen.said("ben"), [LOCKED], "{}", seen.text());
    let refused = seen.said_at("ben", LOCKED).as_millis();
    assert!((300..320).contains(&refused), "{refused} ms");
    assert_eq!(seen.said("ada"), ["written"]);

    let struck = writers(&[])
        .with(|system| system.ported_host("ben", read_then_write))
        .strike("ben", 3, StatementFault::Locked { for_ms: 800 })
        .run();
    assert_eq!(struck.said("ben"), [LOCKED], "{}", struck.text());
}

#[test]
fn two_writers_of_one_sqlite_file_wait_in_virtual_time() {
    let ben = Writing {
        note: "ben",
        after: Duration::from_millis(300),
        held_for: Duration::ZERO,
    };
    let holder = Writing {
        held_for: Duration::from_secs(1),
        ..ADA
    };
    let begun = std::time::Instant::now();
    let seen = writers(&[holder, ben]).run();
    let really = begun.elapsed();
    assert_eq!(seen.notes(), ["ada", "ben"]);
    let (ada, ben) = (
        seen.said_at("ada", "written"),
        seen.said_at("ben", "written"),
    );
    assert!(ada >= Duration::from_millis(1_100), "{ada:?}");
    assert!(
        ben >= ada && ben < ada + Duration::from_millis(50),
        "{ada:?} {ben:?}"
    );
    // SQLite's own busy timeout would let the thread sleep, and the wait end in an error.
    assert!(really < seen.run.elapsed, "{really:?}");
}

#[test]
fn a_fault_that_meets_no_call_has_not_bitten() {
    let seen = writers(&[ADA])
        .strike("ada", 2, CommitFault::Lost)
        .strike("ada", 1, PublishFault::AckLost)
        .at_ms(
            100,
            Incident::ExternalOutage {
                provider: "nobody".to_owned(),
                for_ms: 100,
            },
        )
        .run();
    assert_eq!(seen.notes(), ["ada"]);
    assert!(seen.run.bitten.is_empty());
    let events = &seen.run.history.events;
    let bit = |what: &What| matches!(what, What::FaultBit { .. });
    assert!(!events.iter().any(|event| bit(&event.what)));
}
