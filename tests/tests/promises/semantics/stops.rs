//! Graceful stops: what a service may do when it is told to stop, and who is told when.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Sqlite;
use stormglass::database::{Database, Pool};
use stormglass::history::What;
use stormglass::plan::{Fault, Incident, Operation, Plan, Restarted};
use stormglass::simulation::{Recording, Run, run};
use stormglass::{Group, Host, Message, Seed, System};
use tokio::time::sleep;

use super::stage::{Seen, Stage, crash, idle};

const SCHEMA: &str = "CREATE TABLE notes (position INTEGER PRIMARY KEY, note TEXT NOT NULL)";

fn restart(of: Restarted, down_ms: u64) -> Incident {
    Incident::Restart { of, down_ms }
}

fn restart_host(host: &str, down_ms: u64) -> Incident {
    restart(Restarted::Host(host.to_owned()), down_ms)
}

/// Takes half a second for each note, and stops between two of them.
async fn clerk(host: Host) -> Result<(), String> {
    let database: Pool<Sqlite> = host.database("notebook").map_err(|e| e.to_string())?;
    let mut stopping = Box::pin(host.stopping());
    let subscribed = host.broker().subscribe("clerks", &["notes"]).await;
    let mut notes = subscribed.map_err(|e| e.to_string())?;
    loop {
        let note = tokio::select! {
            biased;
            () = &mut stopping => return Ok(()),
            note = notes.next() => note.map_err(|e| e.to_string())?,
        };
        tracing::info!("begun");
        sleep(Duration::from_millis(500)).await;
        sqlx::query("INSERT INTO notes (note) VALUES ($1)")
            .bind(String::from_utf8_lossy(&note.message().payload).into_owned())
            .execute(&database)
            .await
            .map_err(|e| e.to_string())?;
        note.ack().await.map_err(|e| e.to_string())?;
        tracing::info!("done");
    }
}

async fn author(host: Host) -> Result<(), String> {
    for note in ["first", "second", "third"] {
        let published = host.broker().publish(Message::new("notes", "", note)).await;
        published.map_err(|e| e.to_string())?;
    }
    idle().await
}

fn office() -> Stage {
    Stage::new().with(|system| {
        system
            .topic("notes", 1)
            .group(Group::new("clerks", &["notes"]))
            .database(
                Database::new("notebook", SCHEMA)
                    .view("notes", "SELECT note FROM notes ORDER BY position"),
            )
            .ported_host("clerk", clerk)
            .ported_host("author", author)
    })
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
    assert_eq!(seen.run.bitten, [0]);
}

/// Wants to be told, and does not mind.
async fn stubborn(host: Host) -> Result<(), String> {
    let _told = host.stopping();
    idle().await
}

#[test]
fn who_does_not_stop_in_time_is_dropped() {
    let seen = Stage::new()
        .with(|system| system.ported_host("stubborn", stubborn))
        .at_ms(500, restart_host("stubborn", 100))
        .run();
    let told = seen.first("stubborn", |what| matches!(what, What::HostStopping { .. }));
    let end = seen.first("stubborn", stopped);
    assert_eq!(end.what.to_string(), "stopped: not done within 2s");
    let grace = end.at - told.at;
    let around = Duration::from_millis(1_995)..Duration::from_millis(2_015);
    assert!(around.contains(&grace), "{grace:?}");
    seen.first("stubborn", started_again);
}

async fn deaf(_: Host) -> Result<(), String> {
    idle().await
}

#[test]
fn who_never_asks_to_be_told_is_dropped_at_once() {
    let seen = Stage::new()
        .with(|system| system.ported_host("deaf", deaf))
        .at_ms(500, restart_host("deaf", 100))
        .run();
    let end = seen.first("deaf", stopped);
    assert_eq!(end.what, What::HostStopped { error: None });
    assert!(end.at < Duration::from_millis(515), "{}", seen.text());
}

#[test]
fn a_host_that_is_down_is_not_told_to_stop() {
    let seen = Stage::new()
        .with(|system| system.ported_host("deaf", deaf))
        .at_ms(400, crash("deaf", 500))
        .at_ms(500, restart_host("deaf", 100))
        .run();
    assert_eq!(seen.run.bitten, [0], "{}", seen.text());
    assert!(!seen.of("deaf").any(|event| stopped(&event.what)));
}

/// A run of two services with three and one instances under one incident and a crash.
fn several(incident: Incident, crashed: Option<(u64, &str)>) -> Seen {
    let system = System::new("several")
        .ported_host("ledger", stubborn_for_a_while)
        .instances("ledger", 1..=3)
        .ported_host("till", deaf)
        .ported_operations(
            || proptest::strategy::Just(0_u8),
            |_: Host, _: u8| async { Ok::<(), String>(()) },
        );
    let crashed = crashed.map(|(at_ms, host)| Fault::at(at_ms, crash(host, 200)));
    let mut schedule = vec![Fault::at(500, incident)];
    schedule.extend(crashed);
    let plan = Plan {
        seed: Seed(1),
        chance: 0,
        instances: BTreeMap::from([("ledger".to_owned(), 3)]),
        workload: vec![Operation {
            at_ms: 100,
            operation: 0.into(),
        }],
        schedule,
    };
    let run: Run = run(&system, &plan, Recording::On).unwrap();
    Seen { system, run }
}

/// Needs a tenth of a second to stop.
async fn stubborn_for_a_while(host: Host) -> Result<(), String> {
    host.stopping().await;
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

/// When each host was told to stop, and when it started again, in the order of the history.
fn told_and_started(seen: &Seen) -> Vec<String> {
    let events = seen.run.history.events.iter();
    let told = events.filter_map(|event| match event.what {
        What::HostStopping { .. } => Some(format!("{} told", event.host)),
        What::HostStarted { incarnation: 2 } => Some(format!("{} started", event.host)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_rolling_restart_takes_one_instance_after_the_other() {
    let seen = several(restart(Restarted::Service("ledger".to_owned()), 300), None);
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
    let seen = several(rolling, Some((550, "ledger")));
    assert!(!seen.of("ledger").any(|event| stopped(&event.what)));
    let told = told_and_started(&seen);
    for line in ["ledger started", "ledger-3 told", "ledger-3 started"] {
        assert!(told.contains(&line.to_owned()), "{}", seen.text());
    }
}

#[test]
fn everything_is_restarted_at_once() {
    let seen = several(restart(Restarted::Everything, 300), None);
    let told = told_and_started(&seen);
    let (first, then) = told.split_at(4);
    assert!(first.iter().all(|line| line.ends_with("told")), "{told:?}");
    assert!(then.iter().all(|line| line.ends_with("started")) && then.len() == 4);
}
