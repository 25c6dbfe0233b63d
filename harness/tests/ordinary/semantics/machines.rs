//! Machines that are lost in silence, and connections that are reset.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use stormglass::database::{Database, Engine};
use stormglass::history::What;
use stormglass::plan::{Call, Incident, Side};
use stormglass::{Machine, System};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Seen, Stage, crash, idle};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn lost(host: &str, down_ms: u64) -> Incident {
    Incident::MachineLoss {
        host: host.to_owned(),
        down_ms,
    }
}

fn reset(a: &str, b: &str) -> Incident {
    Incident::ConnectionReset {
        a: a.to_owned(),
        b: b.to_owned(),
    }
}

/// Accepts connections, and says how each comes to its end.
async fn listener(_: Machine) -> Outcome {
    let listener = TcpListener::bind("0.0.0.0:7000").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let end = stream.read_u8().await.map_err(|error| error.kind());
        tracing::info!("heard {end:?}");
    }
}

/// Waits for a word that never comes, and asks after two seconds whether anybody is there.
async fn caller(_: Machine) -> Outcome {
    sleep(Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect("listener:7000").await?;
    let heard = timeout(Duration::from_secs(2), stream.read_u8()).await;
    match heard {
        Ok(end) => tracing::info!("heard {:?}", end.map_err(|error| error.kind())),
        Err(_) => {
            tracing::info!("heard nothing");
            stream.write_u8(1).await?;
            let end = stream.read_u8().await.map_err(|error| error.kind());
            tracing::info!("heard {end:?} then");
        }
    }
    idle().await
}

fn talk() -> System {
    System::new("talk")
        .host("listener", listener)
        .host("caller", caller)
}

#[test]
fn who_talks_to_a_machine_that_is_lost_hears_nothing_of_it() {
    let seen = Stage::of(talk()).at_ms(400, lost("listener", 500)).run();
    assert_eq!(
        seen.said("caller"),
        ["heard nothing", "heard Err(ConnectionReset) then"],
        "{}",
        seen.text()
    );
    let restarted = What::HostStarted { incarnation: 2 };
    let back = seen.first("listener", |what| *what == restarted).at;
    assert_eq!(back, Duration::from_millis(900));
}

#[test]
fn who_talks_to_a_process_that_crashes_hears_of_it() {
    let seen = Stage::of(talk()).at_ms(400, crash("listener", 500)).run();
    let said = seen.said("caller");
    assert!(said[0].starts_with("heard Err("), "{}", seen.text());
    let heard = seen.said_at("caller", said[0]);
    assert!(heard < Duration::from_millis(410), "{heard:?}");
}

#[test]
fn a_machine_that_is_down_cannot_be_lost() {
    let stage = Stage::of(talk()).at_ms(400, crash("listener", 1_000));
    stage.at_ms(600, lost("listener", 500)).run_biting(&[0]);
}

#[test]
fn both_ends_of_a_connection_hear_of_a_reset() {
    let seen = Stage::of(talk())
        .at_ms(400, reset("listener", "caller"))
        .run();
    for host in ["caller", "listener"] {
        assert_eq!(
            seen.said(host),
            ["heard Err(ConnectionReset)"],
            "{}",
            seen.text()
        );
        assert!(seen.said_at(host, "heard Err(ConnectionReset)") < Duration::from_millis(410));
    }
}

#[test]
fn a_reset_without_a_connection_has_no_effect() {
    let stage = Stage::of(talk().host("hermit", |_| idle::<String>()));
    let stage = stage.at_ms(50, reset("listener", "caller"));
    let stage = stage.at_ms(400, reset("hermit", "caller"));
    let seen = stage.run_biting(&[]);
    assert_eq!(seen.said("caller")[0], "heard nothing", "{}", seen.text());
}

const SCHEMA: &str = "CREATE TABLE notes (note INTEGER PRIMARY KEY)";
const INSERT: &str = "INSERT INTO notes (note) VALUES (1)";

/// Writes a note in its first life, and leaves its transaction open for no longer than two seconds.
async fn writer(machine: Machine) -> Outcome {
    if machine.incarnation() > 1 {
        return idle().await;
    }
    let mut connection = PgConnection::connect(machine.url("notes")).await?;
    let limit = "SET idle_in_transaction_session_timeout = '2s'";
    sqlx::query(limit).execute(&mut connection).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query(INSERT).execute(&mut *transaction).await?;
    sleep(Duration::from_millis(500)).await;
    let commit = transaction.commit().await;
    tracing::info!("commit {}", commit.is_ok());
    idle().await
}

/// Wants to write the same.
async fn rival(machine: Machine) -> Outcome {
    let mut connection = PgConnection::connect(machine.url("notes")).await?;
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let written = sqlx::query(INSERT).execute(&mut connection).await;
    let seconds = began.elapsed().as_secs();
    tracing::info!("written {} after {seconds} s", written.is_ok());
    idle().await
}

fn rivals(disturb: impl Fn(Stage) -> Stage) -> Seen {
    let sum = "SELECT CAST(COALESCE(SUM(note), 0) AS BIGINT) AS sum FROM notes";
    let system = System::new("rivals")
        .database(Database::new("notes", SCHEMA).view("sum", sum))
        .on(Engine::Postgres)
        .host("writer", writer)
        .host("rival", rival);
    disturb(Stage::of(system)).run()
}

#[test]
fn a_server_holds_the_locks_of_a_machine_that_is_lost() {
    for (incident, said) in [
        (crash("writer", 500), "written true after 0 s"),
        (lost("writer", 500), "written true after 1 s"),
    ] {
        let seen =
            rivals(|stage| stage.on(Side::Before, "writer", Call::Commit, 1, incident.clone()));
        assert_eq!(seen.said("rival"), [said], "{}", seen.text());
        assert!(seen.said("writer").is_empty(), "{}", seen.text());
        assert_eq!(seen.number("sum"), 1);
    }
}

#[test]
fn what_a_lost_machine_has_committed_stays() {
    let seen =
        rivals(|stage| stage.on(Side::After, "writer", Call::Commit, 1, lost("writer", 500)));
    assert_eq!(
        seen.said("rival"),
        ["written false after 0 s"],
        "{}",
        seen.text()
    );
    assert!(seen.said("writer").is_empty(), "{}", seen.text());
}
