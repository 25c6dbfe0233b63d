//! Logs in memory: no service and no witness can tell them from those on disk.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteJournalMode;
use stormglass_machine::Ending;
use stormglass_sqlite::{CommitFault, Reader, StatementFault, Value, keep_logs_in_memory};

use crate::stage::{Scribe, Service, Stage};

/// What a service may do that a log takes part in: it grows, is begun anew, written back, given up and taken up again.
const SCRIPT: [&str; 19] = [
    "CREATE TABLE t (n INTEGER UNIQUE, text)",
    "INSERT INTO t VALUES (1, zeroblob(9000))",
    "BEGIN; INSERT INTO t VALUES (2, 'two'); ROLLBACK",
    "BEGIN; INSERT INTO t VALUES (3, 'three'); COMMIT",
    "PRAGMA cache_size = 10; BEGIN; INSERT INTO t VALUES (4, zeroblob(600000)); ROLLBACK",
    "INSERT INTO t VALUES (5, zeroblob(600000))",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "INSERT INTO t VALUES (6, 'struck')",
    "PRAGMA wal_checkpoint(RESTART); UPDATE t SET text = 'short'",
    "PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM t WHERE n = 1",
    "VACUUM",
    "PRAGMA journal_mode = DELETE; INSERT INTO t VALUES (7, 'journal')",
    "PRAGMA journal_mode = WAL; INSERT INTO t VALUES (8, 'log')",
    "PRAGMA journal_size_limit = 1; PRAGMA wal_checkpoint(FULL); INSERT INTO t VALUES (9, 'limit')",
    "PRAGMA synchronous = FULL; INSERT INTO t VALUES (10, 'full')",
    "PRAGMA wal_autocheckpoint = 1; INSERT INTO t VALUES (11, zeroblob(20000))",
    "INSERT INTO t VALUES (12, zeroblob(20000))",
    "PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t VALUES (13, 'alone')",
    "PRAGMA locking_mode = NORMAL; SELECT * FROM t",
];

const FOUND: &str = "SELECT group_concat(n || ':' || length(text)) || ' ' || \
                     (SELECT integrity_check FROM pragma_integrity_check) FROM t";

async fn write(service: Service) {
    let writing = service.pool(1).await;
    let reading = service.pool(1).await;
    for sql in SCRIPT {
        service.tell(sql, sqlx::raw_sql(sql).execute(&writing).await);
        let found = sqlx::query_scalar::<_, String>(FOUND);
        match found.fetch_one(&reading).await {
            Ok(found) => service.log.say(found),
            Err(error) => service.log.say(error.to_string()),
        }
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    writing.close().await;
}

async fn look(service: Service) {
    let pool = service.pool(2).await;
    let found: String = sqlx::query_scalar(FOUND).fetch_one(&pool).await.unwrap();
    service.log.say(found);
    pool.close().await;
}

/// Writes, is killed, and looks, once while the killed connections' log is still there and once after it is gone.
fn told(in_memory: bool, scribe: Scribe) -> Vec<String> {
    let scribe = Scribe {
        tells_statements: true,
        ..scribe
    };
    let mut stage = Stage::of(SqliteJournalMode::Wal, scribe);
    stage.in_memory = in_memory;
    stage.drive(|machine, service, _| {
        let own = service.clone();
        machine.start_service("ada", &[], move || write(own));
        machine.sleep(Duration::from_secs(5));
        machine.kill("ada");
        for _ in 0..2 {
            let own = service.clone();
            machine.start_service("bob", &[], move || look(own));
            assert_eq!(machine.wait_for_end("bob"), Some(Ending::Returned));
        }
    })
}

#[test]
fn nobody_can_tell_a_log_in_memory_from_one_on_disk() {
    let on_disk = told(false, Scribe::default());
    assert!(on_disk.len() > 3 * SCRIPT.len());
    assert_eq!(told(true, Scribe::default()), on_disk);
}

#[test]
fn what_befalls_a_log_in_memory_befalls_one_on_disk() {
    let struck = || {
        { Scribe::default() }
            .commit(4, CommitFault::Lost)
            .commit(7, CommitFault::AnswerLost)
            .statement("struck", StatementFault::Io)
    };
    let on_disk = told(false, struck());
    assert_ne!(on_disk, told(false, Scribe::default()));
    assert_eq!(told(true, struck()), on_disk);
}

fn numbers(database: &Path) -> Vec<Vec<Value>> {
    let mut reader = Reader::open(database).unwrap();
    reader.query("SELECT n FROM t ORDER BY n", 0).unwrap()
}

fn rows(numbers: impl IntoIterator<Item = i64>) -> Vec<Vec<Value>> {
    let rows = numbers.into_iter();
    rows.map(|number| vec![Value::Integer(number)]).collect()
}

/// A connection that has written numbers to the log of a new database.
fn written(database: &Path, numbers: std::ops::Range<i64>) -> Reader {
    let mut reader = Reader::open(database).unwrap();
    let script = "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (n)";
    reader.execute(script).unwrap();
    for number in numbers {
        let insert = format!("INSERT INTO t VALUES ({number})");
        reader.execute(&insert).unwrap();
    }
    reader
}

#[test]
fn what_is_written_to_a_log_is_not_on_the_disk_and_every_connection_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop.db");
    let logs = keep_logs_in_memory(folder.path()).unwrap();
    let first = written(&database, 0..3);
    let on_disk = std::fs::read_dir(folder.path()).unwrap();
    let on_disk: Vec<_> = on_disk.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(on_disk, ["shop.db"]);
    assert_eq!(numbers(&database), rows(0..3));
    // The last connection writes the log back, as ever.
    drop(first);
    drop(logs);
    assert_eq!(numbers(&database), rows(0..3));
}

#[test]
fn who_abandons_its_log_does_not_write_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop.db");
    let logs = keep_logs_in_memory(folder.path()).unwrap();
    drop(written(&database, 0..3));
    let mut last = written(&database, 3..5);
    last.abandons_log();
    drop(last);
    assert_eq!(numbers(&database), rows(0..5), "the log is still there");
    let mut last = written(&database, 5..7);
    last.abandons_log();
    drop(last);
    drop(logs);
    assert_eq!(numbers(&database), rows(0..5), "the log was in memory");
}

#[test]
fn a_log_that_a_file_holds_is_taken_in() {
    let (source, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = written(&source.path().join("shop.db"), 0..3);
    for file in ["shop.db", "shop.db-wal"] {
        std::fs::copy(source.path().join(file), folder.path().join(file)).unwrap();
    }
    drop(open);
    let _logs = keep_logs_in_memory(folder.path()).unwrap();
    let database = folder.path().join("shop.db");
    assert_eq!(numbers(&database), rows(0..3));
    assert!(!folder.path().join("shop.db-wal").exists(), "written back");
    drop(written(&database, 3..4));
    assert_eq!(numbers(&database), rows(0..4));
}

#[test]
fn a_database_that_takes_the_name_of_another_has_a_log_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (database, other) = (
        folder.path().join("shop.db"),
        folder.path().join("other.db"),
    );
    let _logs = keep_logs_in_memory(folder.path()).unwrap();
    // Not empty: SQLite itself deletes the log that it finds beside an empty database.
    drop(written(&other, 7..8));
    let _open = written(&database, 0..3);
    std::fs::rename(&other, &database).unwrap();
    assert_eq!(numbers(&database), rows(7..8));
    drop(written(&database, 8..9));
    assert_eq!(numbers(&database), rows(7..9));
}

#[test]
fn a_log_that_is_left_beside_an_empty_database_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop.db");
    let _logs = keep_logs_in_memory(folder.path()).unwrap();
    let _open = written(&database, 0..3);
    std::fs::remove_file(&database).unwrap();
    drop(written(&database, 7..8));
    assert_eq!(numbers(&database), rows(7..8));
}

#[test]
fn a_log_begins_empty_whatever_had_its_room_before() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let _logs = keep_logs_in_memory(folder.path()).unwrap();
        let database = folder.path().join("shop.db");
        let open = written(&database, 0..20);
        assert_eq!(numbers(&database), rows(0..20));
        drop(open);
    }
}

#[test]
fn there_has_to_be_a_folder() {
    assert!(keep_logs_in_memory(Path::new("/nowhere")).is_err());
}
