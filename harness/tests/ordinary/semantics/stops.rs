//! Graceful stops: what a service may do when it is told to stop, and who is told when.

use std::time::Duration;

use sqlx::SqlitePool;
use stormglass::database::Database;
use stormglass::history::What;
use stormglass::plan::{Incident, Restarted};
use stormglass::{Broker, Group, Machine, Message, System};
use tokio::time::sleep;

use super::{Seen, Stage, crash, idle};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SCHEMA: &str = "CREATE TABLE notes (position INTEGER PRIMARY KEY, note TEXT NOT NULL)";

fn restart(of: Restarted, down_ms: u64) -> Incident {
    Incident::Restart { of, down_ms }
}

fn restart_host(host: &str, down_ms: u64) -> Incident {
    restart(Restarted::Host(host.to_owned()), down_ms)
}

/// Takes half a second for each note, and stops between two of them.
async fn clerk(machine: Machine) -> Outcome {
    let database = SqlitePool::connect(machine.url("notebook")).await?;
    let mut stopping = Box::pin(machine.terminated());
    let mut notes = Broker::connect().subscribe("clerks", &["notes"]).await?;
    loop {
        let note = tokio::select! {
            biased;
            () = &mut stopping => return Ok(()),
            note = notes.next() => note?,
        };
        tracing::info!("begun");
        sleep(Duration::from_millis(500)).await;
        sqlx::query("INSERT INTO notes (note) VALUES ($1)")
            .bind(String::from_utf8_lossy(&note.message().payload).into_owned())
            .execute(&database)
            .await?;
        note.ack().await?;
        tracing::info!("done");
    }
}

async fn author(_: Machine) -> Outcome {
    for note in ["first", "second", "third"] {
        let note = Message::new("notes", "", note);
        Broker::connect().publish(note).await?;
    }
    idle().await
}

fn office() -> Stage {
    let notebook =
        Database::new("notebook", SCHEMA).view("notes", "SELECT note FROM notes ORDER BY position");
    let system = System::new("office")
        .topic("notes", 1)
        .group(Group::new("clerks", &["notes"]))
        .sqlite(notebook)
        .host("clerk", clerk)
        .host("author", author);
    Stage::of(system)
}

fn stopped(what: &What) -> bool {
    matches!(what, What::HostStopped { .. })
}

fn started_again(what: &What) -> bool {
    *what == What::HostStarted { incarnation: 2 }
}

#[test]
fn who_is_told_to_stop_finishes_what_it_has_in_hand() {
    let seen = office().at_ms(700, restart_host("clerk", 400)).run();
    let told = seen.first("clerk", |what| matches!(what, What::HostStopping { .. }));
    let end = seen.first("clerk", stopped);
    assert_eq!(end.what, What::HostStopped { error: None });
    let done = seen.of("clerk").filter(|event| {
        matches!(&event.what, What::Logged { message, .. } if message == "done")
            && (told.index..end.index).contains(&event.index)
    });
    assert_eq!(done.count(), 1, "{}", seen.text());
    let down = seen.first("clerk", started_again).at - end.at;
    let around = Duration::from_millis(390)..Duration::from_millis(415);
    assert!(around.contains(&down), "{down:?}");
    assert_eq!(seen.notes(), ["first", "second", "third"]);
    let deliveries = seen.said("clerk");
    let begun = deliveries.iter().filter(|line| **line == "begun");
    assert_eq!(
        begun.count(),
        3,
        "nothing is handled twice: {}",
        seen.text()
    );
}

/// Says when it is told to stop, and takes a second to do so.
async fn polite(machine: Machine) -> Result<(), String> {
    tracing::info!("start {}", machine.incarnation());
    machine.terminated().await;
    tracing::info!("told to stop");
    sleep(Duration::from_secs(1)).await;
    tracing::info!("done");
    Ok(())
}

#[test]
fn a_service_that_heeds_it_stops_in_good_order() {
    let stage = Stage::of(System::new("polite").host("ada", polite));
    let seen = stage.at_ms(1_000, restart_host("ada", 500)).run();
    assert_eq!(
        seen.said("ada"),
        ["start 1", "told to stop", "done", "start 2"]
    );
    let ends = seen.of("ada").filter(|event| stopped(&event.what));
    assert_eq!(ends.count(), 1);
}

/// Is told, and does not stop in time.
async fn stubborn(machine: Machine) -> Result<(), String> {
    machine.terminated().await;
    sleep(Duration::from_secs(10)).await;
    tracing::info!("done");
    Ok(())
}

/// Wants to be told, and does not mind.
async fn indifferent(machine: Machine) -> Result<(), String> {
    let _told = machine.terminated();
    idle().await
}

#[test]
fn who_does_not_stop_in_time_is_dropped() {
    let systems = [
        System::new("stubborn").host("ada", stubborn),
        System::new("indifferent").host("ada", indifferent),
    ];
    for system in systems {
        let seen = Stage::of(system).at_ms(500, restart_host("ada", 100)).run();
        assert!(seen.said("ada").is_empty());
        let told = seen.first("ada", |what| matches!(what, What::HostStopping { .. }));
        let end = seen.first("ada", stopped);
        assert_eq!(end.what.to_string(), "stopped: not done within 2s");
        assert_eq!(end.at - told.at, Duration::from_secs(2));
        seen.first("ada", started_again);
    }
}

/// Never asks to be told.
async fn deaf(machine: Machine) -> Result<(), String> {
    tracing::info!("start {}", machine.incarnation());
    idle().await
}

#[test]
fn a_service_that_heeds_nothing_is_stopped_at_once() {
    let stage = Stage::of(System::new("deaf").host("ada", deaf));
    let seen = stage.at_ms(500, restart_host("ada", 500)).run();
    assert_eq!(seen.said("ada"), ["start 1", "start 2"]);
    let end = seen.first("ada", stopped);
    assert_eq!(end.what, What::HostStopped { error: None });
    assert_eq!(end.at, Duration::from_millis(500), "{}", seen.text());
}

#[test]
fn a_host_that_is_down_is_not_told_to_stop() {
    let seen = Stage::of(System::new("deaf").host("ada", deaf))
        .at_ms(400, crash("ada", 500))
        .at_ms(500, restart_host("ada", 100))
        .run_biting(&[0]);
    assert!(!seen.of("ada").any(|event| stopped(&event.what)));
}

/// Needs a tenth of a second to stop.
async fn soon(machine: Machine) -> Result<(), String> {
    machine.terminated().await;
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

/// A system of two services with three and one instances.
fn several() -> Stage {
    let system = System::new("several")
        .host("ledger", soon)
        .host("till", deaf);
    Stage::of(system).instances("ledger", 3)
}

/// When each host was told to stop, and when it started again, in the order of the history.
fn told_and_started(seen: &Seen) -> Vec<String> {
    let events = seen.0.events.iter();
    let told = events.filter_map(|event| match event.what {
        What::HostStopping { .. } => Some(format!("{} told", event.host)),
        What::HostStarted { incarnation: 2 } => Some(format!("{} started", event.host)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_rolling_restart_takes_one_instance_after_the_other() {
    let rolling = restart(Restarted::Service("ledger".to_owned()), 300);
    let seen = several().at_ms(500, rolling).run();
    let expected = [
        "ledger told",
        "ledger started",
        "ledger-2 told",
        "ledger-2 started",
        "ledger-3 told",
        "ledger-3 started",
    ];
    assert_eq!(told_and_started(&seen), expected, "{}", seen.text());
}

#[test]
fn a_rolling_restart_goes_on_after_a_crash() {
    let rolling = restart(Restarted::Service("ledger".to_owned()), 300);
    let seen = several()
        .at_ms(500, rolling)
        .at_ms(550, crash("ledger", 200))
        .run();
    assert!(!seen.of("ledger").any(|event| stopped(&event.what)));
    let told = told_and_started(&seen);
    for line in ["ledger started", "ledger-3 told", "ledger-3 started"] {
        assert!(told.contains(&line.to_owned()), "{}", seen.text());
    }
}

#[test]
fn everything_is_restarted_at_once() {
    let everything = restart(Restarted::Everything, 300);
    let seen = several().at_ms(500, everything).run();
    let told = told_and_started(&seen);
    let (first, then) = told.split_at(4);
    assert!(first.iter().all(|line| line.ends_with("told")), "{told:?}");
    assert!(then.iter().all(|line| line.ends_with("started")) && then.len() == 4);
}
