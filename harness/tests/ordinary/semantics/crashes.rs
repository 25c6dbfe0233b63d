//! Crashes: what a host did before one stands or is rolled back, and nothing comes after it.

use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use sqlx::{Sqlite, SqlitePool, Transaction};
use stormglass::database::Database;
use stormglass::history::{Event, What};
use stormglass::plan::{Call, Incident, Restarted, Side};
use stormglass::{Broker, Machine, Message, System};
use tokio::time::sleep;

use super::{Stage, crash, idle};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SCHEMA: &str = "CREATE TABLE notes (position INTEGER PRIMARY KEY, note TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO notes (note) VALUES ($1)";

/// A system with a notebook and a topic.
fn system() -> System {
    let notebook =
        Database::new("notebook", SCHEMA).view("notes", "SELECT note FROM notes ORDER BY position");
    System::new("crashes").sqlite(notebook).topic("notes", 1)
}

/// Writes two notes in one transaction, in its first life only.
async fn writer(machine: Machine) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
    if machine.incarnation() == 1 {
        sleep(Duration::from_millis(500)).await;
        let mut transaction = database.begin().await?;
        for note in ["first", "second"] {
            let inserted = sqlx::query(INSERT).bind(note).execute(&mut *transaction);
            inserted.await?;
        }
        transaction.commit().await?;
    }
    idle().await
}

/// Wants to write while the writer's transaction is open.
async fn rival(machine: Machine) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
    if machine.incarnation() == 1 {
        sleep(Duration::from_millis(502)).await;
        sqlx::query(INSERT).bind("rival").execute(&database).await?;
        tracing::info!("written");
    }
    idle().await
}

#[test]
fn a_crash_between_statements_rolls_back_and_frees_the_lock() {
    for seed in 0..8 {
        // Statements of the writer: 1 begins, 2 and 3 insert.
        let system = system().host("writer", writer).host("rival", rival);
        let seen = Stage::of(system)
            .seed(seed)
            .on(
                Side::Before,
                "writer",
                Call::Statement,
                3,
                crash("writer", 2_000),
            )
            .run();
        assert_eq!(seen.notes(), ["rival"], "{}", seen.text());
        let crashed = seen.first("writer", |what| *what == What::HostCrashed);
        let written = seen.said_at("rival", "written");
        // The rival asks for its lock again every other millisecond.
        let soon = crashed.at + Duration::from_millis(10);
        assert!(written <= soon, "{}", seen.text());
    }
}

/// Does what a `Drop` that commits or says goodbye would do: everything that goes without waiting.
struct Goodbye {
    transaction: Option<Transaction<'static, Sqlite>>,
    broker: Broker,
    letter: PathBuf,
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        tracing::info!("goodbye");
        let _ = std::fs::write(&self.letter, "goodbye");
        let mut context = Context::from_waker(Waker::noop());
        let goodbye = Message::new("notes", "", "goodbye");
        let _ = pin!(self.broker.publish(goodbye)).poll(&mut context);
        if let Some(transaction) = self.transaction.take() {
            let _ = pin!(transaction.commit()).poll(&mut context);
        }
    }
}

async fn polite(machine: Machine) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
    let letter = machine.folder().join("letter");
    if machine.incarnation() > 1 {
        tracing::info!("left a letter: {}", letter.exists());
        return idle().await;
    }
    let broker = Broker::connect();
    broker.publish(Message::new("notes", "", "hello")).await?;
    let mut transaction = database.begin().await?;
    let inserted = sqlx::query(INSERT).bind("open").execute(&mut *transaction);
    inserted.await?;
    let _goodbye = Goodbye {
        transaction: Some(transaction),
        broker,
        letter,
    };
    match machine.service() {
        "polite" => machine.terminated().await,
        _ => std::future::pending().await,
    }
    Ok(())
}

#[test]
fn destructors_of_a_crashed_host_reach_nothing() {
    let system = system().host("polite", polite).host("rival", rival);
    let seen = Stage::of(system).at_ms(400, crash("polite", 500)).run();
    assert_eq!(seen.log("notes"), ["hello"]);
    assert_eq!(seen.notes(), ["rival"]);
    // Nor does it hold anybody up: its lock is gone with it.
    assert!(
        seen.said_at("rival", "written") < Duration::from_millis(520),
        "{}",
        seen.text()
    );
    // The dead are silent.
    let crashed = |event: &&Event| event.what != What::HostCrashed;
    let after: Vec<_> = seen.of("polite").skip_while(crashed).skip(1).collect();
    let restarted = What::HostStarted { incarnation: 2 };
    let first = after.first().map(|event| &event.what);
    assert_eq!(first, Some(&restarted), "{}", seen.text());
    assert_eq!(seen.said("polite"), ["left a letter: false"]);
}

fn restart(host: &str) -> Incident {
    Incident::Restart {
        of: Restarted::Host(host.to_owned()),
        down_ms: 500,
    }
}

#[test]
fn destructors_of_a_service_that_stops_by_itself_have_their_effect() {
    let stage = Stage::of(system().host("polite", polite));
    let seen = stage.at_ms(400, restart("polite")).run();
    assert_eq!(seen.said("polite"), ["goodbye", "left a letter: true"]);
    // Nobody waits for what a destructor only begins.
    assert_eq!(seen.log("notes"), ["hello"]);
    seen.first("polite", |what| *what == What::HostStopped { error: None });
}

#[test]
fn destructors_of_a_service_that_does_not_heed_its_end_reach_nothing() {
    let stage = Stage::of(system().host("deaf", polite));
    let seen = stage.at_ms(400, restart("deaf")).run();
    assert_eq!(seen.log("notes"), ["hello"]);
    assert!(seen.notes().is_empty(), "{}", seen.text());
    assert_eq!(seen.said("deaf"), ["left a letter: false"]);
    seen.first("deaf", |what| *what == What::HostStopped { error: None });
}

/// A crowd of tasks, each of which says something when it is dropped.
async fn crowd(_: Machine) -> Result<(), String> {
    struct LastWord(u32);
    impl Drop for LastWord {
        fn drop(&mut self) {
            tracing::info!("last word of {}", self.0);
        }
    }
    for number in 0..24 {
        tokio::spawn(async move {
            let _word = LastWord(number);
            std::future::pending::<()>().await;
        });
    }
    idle().await
}

#[test]
fn a_crash_with_many_tasks_repeats() {
    let system = System::new("crowd").host("crowd", crowd);
    let seen = Stage::of(system).at_ms(400, crash("crowd", 500)).run();
    assert!(seen.said("crowd").is_empty(), "{}", seen.text());
}

/// Says that it lives.
async fn alive(machine: Machine) -> Result<(), String> {
    tracing::info!("life {}", machine.incarnation());
    idle().await
}

#[test]
fn a_crashed_host_is_back_when_its_time_is_over() {
    let system = System::new("alive").host("alive", alive);
    let seen = Stage::of(system).at_ms(400, crash("alive", 500)).run();
    let restarted = What::HostStarted { incarnation: 2 };
    let started = seen.first("alive", |what| *what == restarted).at;
    let lives = seen.said_at("alive", "life 2");
    for at in [started, lives] {
        assert_eq!(at, Duration::from_millis(900), "{}", seen.text());
    }
}

/// Fails in its first life, panics in its second, and lives on.
async fn mortal(machine: Machine) -> Result<(), String> {
    tracing::info!("life {}", machine.incarnation());
    sleep(Duration::from_millis(100)).await;
    match machine.incarnation() {
        1 => Err("out of luck".to_owned()),
        2 => panic!("out of patience"),
        _ => idle().await,
    }
}

#[test]
fn a_service_that_fails_or_panics_is_started_again_after_a_second() {
    let seen = Stage::of(System::new("mortal").host("mortal", mortal)).run();
    let ends: Vec<_> = seen
        .of("mortal")
        .filter_map(|event| match &event.what {
            What::HostExited { error } => Some((event.at, error.as_deref())),
            _ => None,
        })
        .collect();
    assert_eq!(ends.len(), 2, "{}", seen.text());
    assert_eq!(ends[0].1, Some("out of luck"));
    assert_eq!(ends[1].1, Some("panicked: out of patience"));
    for (life, (ended, _)) in (2..).zip(&ends) {
        let pause = seen.said_at("mortal", &format!("life {life}")) - *ended;
        assert_eq!(pause, Duration::from_secs(1));
    }
}
