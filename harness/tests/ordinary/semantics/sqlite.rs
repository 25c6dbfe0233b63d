//! The locks of a SQLite file: who waits for one, and for how long.
#![expect(
    clippy::disallowed_methods,
    reason = "what a run takes is measured on the real clock"
)]

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sqlx::SqlitePool;
use stormglass::database::Database;
use stormglass::plan::{Call, Incident, Side, StatementFault};
use stormglass::{Machine, System};
use tokio::time::sleep;

use super::{Stage, idle};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SCHEMA: &str = "CREATE TABLE notes (position INTEGER PRIMARY KEY, note TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO notes (note) VALUES ($1)";

const LOCKED: &str = "failed: error returned from database: (code: 5) database is locked";

/// How long SQLite sleeps at most before it asks for a lock again.
const ASKS_AGAIN: u128 = 100;

/// How a writer goes about it.
#[derive(Clone, Copy)]
struct Writing {
    note: &'static str,
    after: Duration,
    held_for: Duration,
}

const ADA: Writing = Writing {
    note: "ada",
    after: Duration::from_millis(100),
    held_for: Duration::ZERO,
};

/// Writes one note in a transaction of its own, and says how that went.
async fn write(machine: Machine, writing: Writing) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
    sleep(writing.after).await;
    let written = async {
        let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
        let insert = sqlx::query(INSERT).bind(writing.note);
        insert.execute(&mut *transaction).await?;
        sleep(writing.held_for).await;
        transaction.commit().await
    };
    tell(written.await);
    idle().await
}

fn tell(written: sqlx::Result<()>) {
    match written {
        Ok(()) => tracing::info!("written"),
        Err(error) => tracing::info!("failed: {error}"),
    }
}

fn writers(writings: &[Writing]) -> System {
    let notebook =
        Database::new("notebook", SCHEMA).view("notes", "SELECT note FROM notes ORDER BY position");
    let system = System::new("notebook").sqlite(notebook);
    writings.iter().fold(system, |system, &writing| {
        system.host(writing.note, move |machine| write(machine, writing))
    })
}

#[test]
fn a_lock_is_waited_for_and_given_up_after_five_seconds() {
    for (for_ms, said) in [(800, "written"), (6_000, LOCKED)] {
        let locked = StatementFault::Locked { for_ms };
        let seen = Stage::of(writers(&[ADA])).strike("ada", 1, locked).run();
        assert_eq!(seen.said("ada"), [said], "{}", seen.text());
        let waited = seen.said_at("ada", said).as_millis();
        let expected = 100 + u128::from(for_ms.min(5_000));
        let around = expected..expected + ASKS_AGAIN + 50;
        assert!(around.contains(&waited), "{waited} ms");
    }
}

/// Writes a note, keeps it open, and is there to the end; the test is told where.
async fn note_where(machine: Machine) -> Outcome {
    FOLDERS.lock().unwrap().push(machine.folder());
    write(machine, ADA).await
}

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

#[test]
fn nothing_is_left_of_files_when_their_run_is_over() {
    let notebook = Database::new("notebook", SCHEMA);
    let system = System::new("notebook")
        .sqlite(notebook)
        .host("ada", note_where);
    let (host, down_ms) = ("ada".to_owned(), 100);
    let crash = Incident::Crash { host, down_ms };
    Stage::of(system.clone()).run();
    Stage::of(system).at_ms(500, crash).run();
    let folders = FOLDERS.lock().unwrap();
    assert!(folders.len() > 2, "{folders:?}");
    for folder in &*folders {
        let of_run = folder.parent().expect("it is a folder of the run's");
        assert!(!of_run.exists(), "{} is left", of_run.display());
    }
}

/// Reads, and then writes in the same transaction.
async fn read_then_write(machine: Machine) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
    sleep(Duration::from_millis(300)).await;
    let written = async {
        let mut transaction = database.begin().await?;
        let _: i64 = sqlx::query_scalar("SELECT count(*) FROM notes")
            .fetch_one(&mut *transaction)
            .await?;
        let insert = sqlx::query(INSERT).bind("ben");
        insert.execute(&mut *transaction).await?;
        transaction.commit().await
    };
    tell(written.await);
    idle().await
}

#[test]
fn sqlite_does_not_wait_for_a_lock_once_the_transaction_has_read() {
    let holder = Writing {
        held_for: Duration::from_secs(1),
        ..ADA
    };
    let seen = Stage::of(writers(&[holder]).host("ben", read_then_write)).run();
    assert_eq!(seen.said("ben"), [LOCKED], "{}", seen.text());
    let refused = seen.said_at("ben", LOCKED).as_millis();
    assert!((300..320).contains(&refused), "{refused} ms");
    assert_eq!(seen.said("ada"), ["written"]);

    let locked = StatementFault::Locked { for_ms: 800 };
    let struck = Stage::of(writers(&[]).host("ben", read_then_write))
        .strike("ben", 3, locked)
        .run();
    assert_eq!(struck.said("ben"), [LOCKED], "{}", struck.text());
}

/// As `read_then_write`, with a rest in between, and says what SQLite calls the error.
async fn write_what_is_out_of_date(machine: Machine) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
    let mut transaction = database.begin().await?;
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM notes")
        .fetch_one(&mut *transaction)
        .await?;
    sleep(Duration::from_millis(300)).await;
    let insert = sqlx::query(INSERT).bind("ben");
    let error = insert.execute(&mut *transaction).await.unwrap_err();
    tracing::info!("failed: {error}");
    idle().await
}

#[test]
fn sqlite_finds_at_the_first_write_that_another_transaction_came_before() {
    let seen = Stage::of(writers(&[ADA]).host("ben", write_what_is_out_of_date)).run();
    let stale = "failed: error returned from database: (code: 517) database is locked";
    assert_eq!(seen.said("ben"), [stale], "{}", seen.text());
    let refused = seen.said_at("ben", stale).as_millis();
    assert!((300..320).contains(&refused), "{refused} ms");
}

#[test]
fn two_writers_of_one_file_wait_in_virtual_time() {
    let holder = Writing {
        held_for: Duration::from_secs(1),
        ..ADA
    };
    let ben = Writing {
        note: "ben",
        after: Duration::from_millis(300),
        held_for: Duration::ZERO,
    };
    let begun = Instant::now();
    let seen = Stage::of(writers(&[holder, ben])).run();
    let really = begun.elapsed();
    assert_eq!(seen.notes(), ["ada", "ben"]);
    let (ada, ben) = (
        seen.said_at("ada", "written"),
        seen.said_at("ben", "written"),
    );
    assert!(ada >= Duration::from_millis(1_100), "{ada:?}");
    let waited = ben.saturating_sub(ada).as_millis();
    assert!(ben >= ada && waited < ASKS_AGAIN + 50, "{ada:?} {ben:?}");
    let virtually = seen.0.events.last().map(|event| event.at);
    assert!(Some(really) < virtually, "{really:?}");
}

/// Begins a transaction and does not wait for the answer as long as the host stands still.
async fn give_up_beginning(machine: Machine) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
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
    let stage = Stage::of(writers(&[late]).host("bob", give_up_beginning));
    let seen = stage
        .on(Side::After, "bob", Call::Statement, 1, pause)
        .run();
    assert_eq!(seen.said("bob"), ["gave up"], "{}", seen.text());
    assert_eq!(seen.said("ada"), ["written"], "{}", seen.text());
}
