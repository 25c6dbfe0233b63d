//! Crashes, restarts and pauses.
//!
//! A crash point is exact: what a host did before it stands or is rolled back, and nothing comes
//! after it.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use sqlx::Sqlite;
use stormglass::database::{Database, Pool};
use stormglass::history::{Event, SettleOutcome, What};
use stormglass::plan::{Call, Incident, Restarted};
use stormglass::simulation::Settings;
use stormglass::{Broker, Group, Host, Message, Profile};
use tokio::time::sleep;

use super::stage::{Stage, crash, idle};

const SCHEMA: &str = "CREATE TABLE notes (position INTEGER PRIMARY KEY, note TEXT NOT NULL)";

fn notebook() -> Database {
    Database::new("notebook", SCHEMA).view("notes", "SELECT note FROM notes ORDER BY position")
}

const INSERT: &str = "INSERT INTO notes (note) VALUES ($1)";

/// Writes two notes in one transaction, in its first life only.
async fn writer(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    if host.incarnation() == 1 {
        sleep(Duration::from_millis(500)).await;
        let notes = ["first", "second"];
        let mut transaction = database.begin().await.map_err(|e| e.to_string())?;
        for note in notes {
            let inserted = sqlx::query(INSERT).bind(note).execute(&mut *transaction);
            inserted.await.map_err(|e| e.to_string())?;
        }
        transaction.commit().await.map_err(|e| e.to_string())?;
    }
    idle().await
}

/// Wants to write while the writer's transaction is open.
async fn rival(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    if host.incarnation() == 1 {
        sleep(Duration::from_millis(501)).await;
        let inserted = sqlx::query(INSERT).bind("rival").execute(&database);
        inserted.await.map_err(|e| e.to_string())?;
        tracing::info!("written");
    }
    idle().await
}

#[test]
fn a_crash_between_statements_rolls_back_before_anything_else_moves() {
    let mut at_once = 0;
    for seed in 0..8 {
        // Calls of the writer: 1 begins, 2 and 3 insert.
        let seen = Stage::new()
            .seed(seed)
            .with(|system| {
                system
                    .database(notebook())
                    .ported_host("writer", writer)
                    .ported_host("rival", rival)
            })
            .before("writer", Call::Statement, 3, crash("writer", 2_000))
            .run();
        assert_eq!(seen.notes(), ["rival"], "{}", seen.text());
        let crashed = seen
            .first("writer", |what| *what == What::HostCrashed)
            .clone();
        let tick = Settings::default().tick;
        let written = seen.said_at("rival", "written");
        // The rival polls its lock every other millisecond, so it is in by the next tick at last.
        assert!(written <= crashed.at + tick * 2, "{}", seen.text());
        let ticks = |at: Duration| at.as_micros() / tick.as_micros();
        at_once += u32::from(ticks(written) == ticks(crashed.at));
    }
    assert!(
        at_once > 0,
        "no seed let the rival run after the writer in the tick of the crash"
    );
}

#[test]
fn a_crash_after_the_commit_leaves_the_rows() {
    let seen = Stage::new()
        .with(|system| system.database(notebook()).ported_host("writer", writer))
        .after("writer", Call::Commit, 1, crash("writer", 500))
        .run();
    assert_eq!(seen.notes(), ["first", "second"]);
}

/// Does what a `Drop` that commits or says goodbye would do: everything that goes without waiting.
struct Goodbye {
    transaction: Option<stormglass::database::Transaction<'static, Sqlite>>,
    broker: Broker,
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        tracing::info!("goodbye");
        let mut context = Context::from_waker(Waker::noop());
        let goodbye = Message::new("notes", "", "goodbye");
        let _ = pin!(self.broker.publish(goodbye)).poll(&mut context);
        if let Some(transaction) = self.transaction.take() {
            let _ = pin!(transaction.commit()).poll(&mut context);
        }
    }
}

async fn polite(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    if host.incarnation() > 1 {
        return idle().await;
    }
    let broker = host.broker();
    let hello = broker.publish(Message::new("notes", "", "hello"));
    hello.await.map_err(|e| e.to_string())?;
    let mut transaction = database.begin().await.map_err(|e| e.to_string())?;
    let inserted = sqlx::query(INSERT).bind("open").execute(&mut *transaction);
    inserted.await.map_err(|e| e.to_string())?;
    let _goodbye = Goodbye {
        transaction: Some(transaction),
        broker,
    };
    idle().await
}

#[test]
fn destructors_of_a_crashed_host_reach_nothing() {
    let seen = Stage::new()
        .with(|system| {
            system
                .topic("notes", 1)
                .database(notebook())
                .ported_host("polite", polite)
                .ported_host("rival", rival)
        })
        .at_ms(400, crash("polite", 500))
        .run();
    assert_eq!(seen.log("notes"), ["hello"]);
    assert_eq!(seen.notes(), ["rival"]);
    // Nor does it hold anybody up: its lock is gone with it.
    assert!(seen.said_at("rival", "written") < Duration::from_millis(510));
    // The dead are silent, under whatever name; what a dying runtime drops first would not even repeat.
    let crashed = |event: &&Event| event.what != What::HostCrashed;
    let after: Vec<_> = seen.of("polite").skip_while(crashed).skip(1).collect();
    assert_eq!(seen.of("unknown").count(), 0, "{}", seen.text());
    let restarted = What::HostStarted { incarnation: 2 };
    assert_eq!(
        after.first().map(|event| &event.what),
        Some(&restarted),
        "{}",
        seen.text()
    );
}

#[test]
fn destructors_of_a_stopped_host_have_their_effect() {
    let incident = Incident::Restart {
        of: Restarted::Host("polite".to_owned()),
        down_ms: 500,
    };
    let seen = Stage::new()
        .with(|system| {
            system
                .topic("notes", 1)
                .database(notebook())
                .ported_host("polite", polite)
        })
        .at_ms(400, incident)
        .run();
    assert_eq!(seen.said("polite"), ["goodbye"]);
    assert_eq!(seen.log("notes"), ["hello", "goodbye"]);
    // Nobody waits for the commit that a destructor only begins.
    assert!(seen.notes().is_empty(), "{}", seen.text());
    seen.first("polite", |what| *what == What::HostStopped { error: None });
}

/// A crowd of tasks, each of which says something when it is dropped.
async fn crowd(_: Host) -> Result<(), String> {
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
    let run = || {
        Stage::new()
            .with(|system| system.ported_host("crowd", crowd))
            .at_ms(400, crash("crowd", 500))
            .run()
    };
    let (first, second) = (run(), run());
    assert_eq!(
        first.run.digest(),
        second.run.digest(),
        "{}\n\n{}",
        first.text(),
        second.text()
    );
}

/// Publishes three messages, and a fourth from another task that outlives the first.
async fn producer(host: Host) -> Result<(), String> {
    if host.incarnation() > 1 {
        return idle().await;
    }
    let broker = host.broker();
    let other = broker.clone();
    tokio::task::spawn_local(async move {
        sleep(Duration::from_millis(700)).await;
        let _ = other.publish(Message::new("notes", "", "late")).await;
    });
    for payload in ["one", "two", "three"] {
        let published = broker.publish(Message::new("notes", "", payload));
        published.await.map_err(|e| e.to_string())?;
        tracing::info!("{payload} acknowledged");
        sleep(Duration::from_millis(100)).await;
    }
    idle().await
}

fn producing() -> Stage {
    Stage::new().with(|system| system.topic("notes", 1).ported_host("producer", producer))
}

#[test]
fn a_crash_before_a_publish_keeps_it_from_the_broker() {
    let seen = producing()
        .before("producer", Call::Publish, 2, crash("producer", 2_000))
        .run();
    assert_eq!(seen.log("notes"), ["one"]);
    assert_eq!(seen.said("producer"), ["one acknowledged"]);
}

#[test]
fn a_crash_after_a_publish_leaves_it_and_tells_nobody() {
    let seen = producing()
        .after("producer", Call::Publish, 2, crash("producer", 2_000))
        .run();
    assert_eq!(seen.log("notes"), ["one", "two"]);
    assert_eq!(seen.said("producer"), ["one acknowledged"]);
}

#[test]
fn a_crash_at_a_time_ends_every_task_of_the_host() {
    let seen = producing().at_ms(650, crash("producer", 2_000)).run();
    assert_eq!(seen.log("notes"), ["one", "two", "three"]);
}

/// Takes a second to handle a message, and says how its settlement went.
async fn slow_worker(host: Host) -> Result<(), String> {
    loop {
        let subscribed = host.broker().subscribe("workers", &["notes"]).await;
        let mut notes = subscribed.map_err(|e| e.to_string())?;
        while let Ok(note) = notes.next().await {
            sleep(Duration::from_secs(1)).await;
            let attempt = note.attempt();
            match note.ack().await {
                Ok(()) => tracing::info!("acknowledged attempt {attempt}"),
                Err(error) => tracing::info!("attempt {attempt}: {error}"),
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn paused_for_six_seconds(profile: Profile) -> super::stage::Seen {
    let pause = Incident::Pause {
        host: "worker".to_owned(),
        for_ms: 6_000,
    };
    Stage::new()
        .on(profile)
        .with(|system| {
            system
                .topic("notes", 1)
                .group(Group::new("workers", &["notes"]))
                .ported_host("producer", |host: Host| async move {
                    if host.incarnation() == 1 {
                        let note = Message::new("notes", "", "one");
                        host.broker()
                            .publish(note)
                            .await
                            .map_err(|e| e.to_string())?;
                    }
                    idle().await
                })
                .ported_host("worker", slow_worker)
        })
        .after("worker", Call::Receive, 1, pause)
        .run()
}

fn settlements(seen: &super::stage::Seen) -> Vec<SettleOutcome> {
    let settled = |what: &What| match what {
        What::Settled { outcome, .. } => Some(*outcome),
        _ => None,
    };
    let events = seen.run.history.events.iter();
    events.filter_map(|event| settled(&event.what)).collect()
}

#[test]
fn a_paused_consumer_wakes_up_fenced_on_kafka() {
    let seen = paused_for_six_seconds(Profile::kafka());
    let outcomes = settlements(&seen);
    assert_eq!(
        outcomes,
        [SettleOutcome::Fenced, SettleOutcome::Accepted],
        "{}",
        seen.text()
    );
    assert_eq!(seen.said("worker").last(), Some(&"acknowledged attempt 2"));
    assert_eq!(seen.run.bitten, [0]);
}

#[test]
fn a_late_acknowledgement_counts_on_jetstream() {
    let seen = paused_for_six_seconds(Profile::jetstream());
    let expired = |what: &What| matches!(what, What::LeaseExpired { .. });
    let events = &seen.run.history.events;
    assert!(
        events.iter().any(|event| expired(&event.what)),
        "{}",
        seen.text()
    );
    assert_eq!(
        settlements(&seen).first(),
        Some(&SettleOutcome::Accepted),
        "{}",
        seen.text()
    );
    assert_eq!(seen.run.bitten, [0]);
}

/// Says that it lives.
async fn alive(host: Host) -> Result<(), String> {
    tracing::info!("life {}", host.incarnation());
    idle().await
}

#[test]
fn a_crashed_host_is_back_when_its_time_is_over() {
    let seen = Stage::new()
        .with(|system| system.ported_host("alive", alive))
        .at_ms(400, crash("alive", 500))
        .run();
    let restarted = What::HostStarted { incarnation: 2 };
    let started = seen.first("alive", |what| *what == restarted).at;
    let lives = seen.said_at("alive", "life 2");
    for at in [started, lives] {
        assert!((900..910).contains(&at.as_millis()), "{}", seen.text());
    }
}

/// Fails in its first life, panics in its second, and lives on.
async fn mortal(host: Host) -> Result<(), String> {
    tracing::info!("life {}", host.incarnation());
    sleep(Duration::from_millis(100)).await;
    match host.incarnation() {
        1 => Err("out of luck".to_owned()),
        2 => panic!("out of patience"),
        _ => idle().await,
    }
}

#[test]
fn a_service_that_fails_or_panics_is_started_again_after_a_second() {
    let seen = Stage::new()
        .with(|system| system.ported_host("mortal", mortal))
        .run();
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
        assert!((1_000..1_020).contains(&pause.as_millis()), "{pause:?}");
    }
}
