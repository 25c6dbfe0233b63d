//! What is wrong with a test, and not with the system under test, is said in one line and never taken
//! for a verdict.

use std::time::Duration;

use proptest::strategy::Just;
use sqlx::Sqlite;
use stormglass::checker::EffectOnce;
use stormglass::database::{Database, Probe};
use stormglass::history::{Answer, What};
use stormglass::plan::{Fault, Incident};
use stormglass::simulation::{Recording, Run, RunError, run};
use stormglass::{Host, Seed, System};

/// A system of one host, which runs `service`, and one operation, which runs `operation`.
fn system<S, F, O, G>(database: Database, service: S, operation: O) -> System
where
    S: Fn(Host) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + 'static,
    O: Fn(Host, u8) -> G + Send + Sync + 'static,
    G: Future<Output = Result<(), String>> + 'static,
{
    System::new("misused")
        .database(database)
        .host("worker", service)
        .operations(|| Just(0_u8), operation)
        .property(EffectOnce)
}

fn notes() -> Database {
    Database::new(
        "notes",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)",
    )
}

async fn idle(_: Host) -> Result<(), String> {
    std::future::pending().await
}

async fn nothing(_: Host, _: u8) -> Result<(), String> {
    Ok(())
}

/// Writes a row, so that probes have something to look at.
async fn write(host: Host) -> Result<(), String> {
    let notes = host
        .database::<Sqlite>("notes")
        .map_err(|e| e.to_string())?;
    let insert = sqlx::query("INSERT INTO notes (note) VALUES ('a')");
    insert.execute(&notes).await.map_err(|e| e.to_string())?;
    idle(host).await
}

fn first_seed(system: &System) -> Result<Run, RunError> {
    run(system, &system.plan(Seed(0))?, Recording::On)
}

#[test]
fn a_probe_that_cannot_be_read_is_no_commit_that_failed() {
    for (query, complaint) in [
        ("SELECT nonsense AS event_id FROM notes", "no such column"),
        ("SELECT note FROM notes", "event_id"),
        (
            "SELECT note AS event_id FROM notes WHERE id > $1",
            "position",
        ),
        ("SELECT id AS event_id FROM notes", "event_id"),
    ] {
        let database = notes().probe(Probe::applied(query).by("worker"));
        let error = first_seed(&system(database, write, nothing)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, RunError::Probe { .. }), "{text}");
        assert!(text.contains(query) && text.contains("`notes`"), "{text}");
        assert!(text.contains(complaint), "{text}");
    }
}

#[test]
fn a_view_that_cannot_be_read_is_named() {
    let database = notes().view("broken", "SELECT nonsense FROM notes");
    let error = first_seed(&system(database, write, nothing)).unwrap_err();
    assert!(matches!(error, RunError::Probe { .. }), "{error}");
}

#[test]
fn a_panic_in_a_spawned_task_is_told_with_its_host_and_place() {
    let spawning = |host: Host| async move {
        tokio::spawn(async { panic!("the spawned one") });
        idle(host).await
    };
    let error = first_seed(&system(notes(), spawning, nothing)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, RunError::Panicked(_)), "{text}");
    for part in ["the spawned one", "host worker", "misuse.rs"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_operation_that_panics_has_failed() {
    let panicking = |_: Host, _: u8| async { panic!("in the operation") };
    let run = first_seed(&system(notes(), idle, panicking)).unwrap();
    let answered = run.history.events.iter().any(|event| match &event.what {
        What::OperationAnswered { answer, text, .. } => {
            *answer == Answer::Failed && text == "panicked: in the operation"
        }
        _ => false,
    });
    assert!(answered);
}

#[test]
fn a_plan_that_names_a_host_that_does_not_exist_is_refused() {
    let system = system(notes(), idle, nothing);
    let mut plan = system.plan(Seed(0)).unwrap();
    let pause = Incident::Pause {
        host: "ghost".to_owned(),
        for_ms: Duration::from_secs(1).as_millis() as u64,
    };
    plan.schedule = vec![Fault::at(0, pause)];
    let error = run(&system, &plan, Recording::On).unwrap_err();
    assert!(matches!(error, RunError::Misfit(_)), "{error}");
}
