//! SQLite by plain sqlx: pools, the threads of its connections, and a crash in the middle of a transaction.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use stormglass_machine::{Ending, Settings, run};

/// A file of its own for each test, removed with it.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("stormglass-machine-{}-{name}.db", std::process::id());
        File(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

async fn pool(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new()
        .max_connections(3)
        .connect_with(options)
        .await
        .unwrap();
    sqlx::query("CREATE TABLE IF NOT EXISTS entries (number INTEGER)")
        .execute(&pool)
        .await
        .unwrap();
    pool
}

/// Several tasks write through one pool and say when each write was done.
async fn write(path: PathBuf, said: Arc<Mutex<Vec<String>>>) {
    let pool = pool(&path).await;
    let writers = (0..3).map(|writer| {
        let (pool, said) = (pool.clone(), said.clone());
        tokio::spawn(async move {
            for number in 0..10 {
                let done = sqlx::query("INSERT INTO entries VALUES ($1)")
                    .bind(writer * 100 + number)
                    .execute(&pool)
                    .await
                    .unwrap();
                let began = std::time::SystemTime::UNIX_EPOCH;
                let at = began.elapsed().unwrap();
                said.lock()
                    .unwrap()
                    .push(format!("{at:?} {}", done.last_insert_rowid()));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM entries")
        .fetch_one(&pool)
        .await
        .unwrap();
    said.lock().unwrap().push(format!("{count} in all"));
    pool.close().await;
}

fn written(seed: u8, name: &str) -> Vec<String> {
    let file = File::new(name);
    let said = Arc::new(Mutex::new(Vec::new()));
    let (path, heard) = (file.0.clone(), said.clone());
    run(Settings::of([seed; 32]), move |machine| {
        machine.start_service("writer", &[], move || write(path, heard));
        assert_eq!(machine.wait_for_end("writer"), Some(Ending::Returned));
    })
    .unwrap();
    let said = said.lock().unwrap();
    said.clone()
}

#[test]
fn a_pool_of_several_connections_repeats() {
    let first = written(1, "first");
    assert_eq!(first.len(), 31, "{first:?}");
    assert_eq!(first.last().map(String::as_str), Some("30 in all"));
    assert_eq!(first, written(1, "second"));
}

#[test]
fn a_kill_in_the_middle_of_a_transaction_leaves_nothing_of_it() {
    let file = File::new("killed");
    let path = file.0.clone();
    let count = Arc::new(Mutex::new(None));
    let counted = count.clone();
    run(Settings::of([1; 32]), move |machine| {
        let own = path.clone();
        machine.start_service("writer", &[], move || async move {
            let pool = pool(&own).await;
            let insert = "INSERT INTO entries VALUES (1)";
            sqlx::query(insert).execute(&pool).await.unwrap();
            let mut transaction = pool.begin().await.unwrap();
            sqlx::query(insert)
                .execute(&mut *transaction)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            transaction.commit().await.unwrap();
        });
        machine.sleep(Duration::from_secs(1));
        machine.kill("writer");
        machine.start_service("reader", &[], move || async move {
            let pool = pool(&path).await;
            let query = sqlx::query_scalar("SELECT count(*) FROM entries");
            let found: i64 = query.fetch_one(&pool).await.unwrap();
            sqlx::query("INSERT INTO entries VALUES (2)")
                .execute(&pool)
                .await
                .unwrap();
            *counted.lock().unwrap() = Some(found);
        });
        assert_eq!(machine.wait_for_end("reader"), Some(Ending::Returned));
    })
    .unwrap();
    assert_eq!(*count.lock().unwrap(), Some(1));
}
