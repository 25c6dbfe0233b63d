//! What befalls a PostgreSQL server and its transactions.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use stormglass::database::{Database, Engine};
use stormglass::plan::{CommitFault, FaultKind, Incident, StatementFault};
use stormglass::{Machine, System};
use tokio::time::sleep;

use super::{Stage, idle};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SCHEMA: &str = "CREATE TABLE notes (note INTEGER PRIMARY KEY)";
const SUM: &str = "SELECT CAST(COALESCE(SUM(note), 0) AS BIGINT) AS sum FROM notes";

fn system_on(engine: Engine) -> System {
    System::new("notes")
        .database(Database::new("notes", SCHEMA).view("sum", SUM))
        .on(engine)
}

fn system() -> System {
    system_on(Engine::Postgres)
}

/// An error's SQLSTATE, or what else it is.
fn code(error: &sqlx::Error) -> String {
    let own = error.as_database_error().and_then(|own| own.code());
    match (own, error) {
        (Some(code), _) => code.into_owned(),
        (None, sqlx::Error::Io(error)) => format!("{:?}", error.kind()),
        (None, _) => "closed".to_owned(),
    }
}

async fn insert(connection: &mut PgConnection, note: i32) -> sqlx::Result<()> {
    let insert = sqlx::query("INSERT INTO notes (note) VALUES ($1)").bind(note);
    insert.execute(connection).await.map(drop)
}

/// Writes two notes in one transaction each, tries the second once more, and says how that went.
async fn scribe(machine: Machine) -> Outcome {
    let mut connection = PgConnection::connect(machine.url("notes")).await?;
    for note in [1, 2, 2] {
        let mut transaction = connection.begin().await?;
        let mut written = insert(&mut transaction, note).await;
        if let Err(error) = written {
            tracing::info!("insert {note}: {}", code(&error));
            let next = sqlx::query("SELECT 1").execute(&mut *transaction).await;
            written = next.map(drop);
        }
        written = match written {
            Ok(()) => transaction.commit().await,
            Err(error) => transaction.rollback().await.and(Err(error)),
        };
        match written {
            Ok(()) => tracing::info!("wrote {note}"),
            Err(error) => tracing::info!("transaction of {note}: {}", code(&error)),
        }
    }
    idle().await
}

#[test]
fn a_serialization_failure_writes_nothing_and_can_be_tried_again() {
    let stage = Stage::of(system().host("scribe", scribe));
    let seen = stage
        .strike("scribe", 2, CommitFault::SerializationFailure)
        .run();
    assert_eq!(
        seen.said("scribe"),
        ["wrote 1", "transaction of 2: 40001", "wrote 2"],
        "{}",
        seen.text()
    );
    assert_eq!(seen.number("sum"), 3);
}

#[test]
fn the_victim_of_a_deadlock_can_only_roll_back() {
    // Each transaction has two statements: its beginning and the insert.
    let stage = Stage::of(system().host("scribe", scribe));
    let seen = stage.strike("scribe", 4, StatementFault::Deadlock).run();
    assert_eq!(
        seen.said("scribe"),
        [
            "wrote 1",
            "insert 2: 40P01",
            "transaction of 2: 25P02",
            "wrote 2"
        ],
        "{}",
        seen.text()
    );
    assert_eq!(seen.number("sum"), 3);
}

#[test]
fn what_locks_nothing_cannot_deadlock() {
    let stage = Stage::of(system().host("scribe", scribe));
    let stage = stage.strike("scribe", 3, StatementFault::Deadlock);
    assert_eq!(stage.run_biting(&[]).said("scribe")[1], "wrote 2");
}

async fn scribe_of_a_file(machine: Machine) -> Outcome {
    let pool = sqlx::SqlitePool::connect(machine.url("notes")).await?;
    let mut transaction = pool.begin().await?;
    let insert = sqlx::query("INSERT INTO notes (note) VALUES (1)");
    insert.execute(&mut *transaction).await?;
    transaction.commit().await?;
    idle().await
}

#[test]
fn a_file_meets_nothing_that_belongs_to_a_server() {
    let system = system_on(Engine::Sqlite).host("scribe", scribe_of_a_file);
    let stage = Stage::of(system);
    let stage = stage.strike("scribe", 2, StatementFault::Deadlock);
    let stage = stage.strike("scribe", 1, CommitFault::SerializationFailure);
    assert_eq!(stage.run_biting(&[]).number("sum"), 1);
}

#[test]
fn only_a_system_with_a_server_is_given_what_befalls_one() {
    let of_servers = [
        FaultKind::SerializationFailure,
        FaultKind::Deadlock,
        FaultKind::DatabaseRestart,
        FaultKind::ConnectionsUsedUp,
    ];
    for (engine, has_server) in [(Engine::Sqlite, false), (Engine::Postgres, true)] {
        let kinds = system_on(engine).fault_kinds();
        for kind in of_servers {
            assert_eq!(kinds.contains(&kind), has_server, "{}", kind.name());
        }
        assert!(kinds.contains(&FaultKind::DiskFull));
    }
    let without = System::new("no databases").fault_kinds();
    assert!(!without.contains(&FaultKind::DiskFull));
}

/// Keeps a transaction open while the server restarts, and comes back to it.
async fn keeper(machine: Machine) -> Outcome {
    let url = machine.url("notes");
    let mut connection = PgConnection::connect(url).await?;
    insert(&mut connection, 1).await?;
    let mut transaction = connection.begin().await?;
    insert(&mut transaction, 2).await?;
    sleep(Duration::from_secs(1)).await;
    let lost = insert(&mut transaction, 3).await.unwrap_err();
    drop(transaction);
    tracing::info!("lost: {}", code(&lost));
    loop {
        match PgConnection::connect(url).await {
            Ok(mut connection) => {
                let sum: i64 = sqlx::query_scalar(SUM).fetch_one(&mut connection).await?;
                tracing::info!("back with {sum}");
                return idle().await;
            }
            Err(error) => tracing::info!("refused: {}", code(&error)),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn restart(down_ms: u64) -> Incident {
    let server = "postgres".to_owned();
    Incident::DatabaseRestart { server, down_ms }
}

#[test]
fn a_server_that_restarts_keeps_what_was_committed_and_nothing_else() {
    let stage = Stage::of(system().host("keeper", keeper));
    let seen = stage.at_ms(500, restart(1_000)).run();
    let said = seen.said("keeper");
    assert_eq!(
        said,
        [
            "lost: BrokenPipe",
            "refused: ConnectionRefused",
            "back with 1"
        ],
        "{}",
        seen.text()
    );
}

#[test]
fn a_server_that_is_down_does_not_go_down() {
    let stage = Stage::of(system().host("keeper", keeper));
    let stage = stage.at_ms(500, restart(1_000)).at_ms(800, restart(1_000));
    stage.run_biting(&[0]);
}

/// Has a connection from the start, and wants another one each second.
async fn greedy(machine: Machine) -> Outcome {
    let url = machine.url("notes");
    let mut first = PgConnection::connect(url).await?;
    for note in 1..=3 {
        sleep(Duration::from_secs(1)).await;
        let another = PgConnection::connect(url).await;
        let another = another.map_or_else(|error| error.to_string(), |_| "another".to_owned());
        insert(&mut first, note).await?;
        tracing::info!("{another}");
    }
    idle().await
}

fn used_up(for_ms: u64) -> Incident {
    let server = "postgres".to_owned();
    Incident::ConnectionsUsedUp { server, for_ms }
}

#[test]
fn a_server_whose_connections_are_used_up_takes_no_others() {
    let stage = Stage::of(system().host("greedy", greedy));
    let seen = stage.at_ms(1_500, used_up(1_000)).run();
    let said = seen.said("greedy");
    assert_eq!((said[0], said[2]), ("another", "another"));
    assert!(said[1].ends_with("too many clients already"), "{said:?}");
    assert_eq!(seen.number("sum"), 6);
}

#[test]
fn who_has_connected_does_not_meet_that_others_cannot() {
    let stage = Stage::of(system().host("greedy", greedy));
    stage.at_ms(1_200, used_up(600)).run_biting(&[]);
}
