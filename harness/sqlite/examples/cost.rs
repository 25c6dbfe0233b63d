//! What watching costs: the same statements with and without a witness, in one process, in turns.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures real time and is for people"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use stormglass_machine::{Ending, Settings, outside, run};
use stormglass_sqlite::Witness;

/// How many statements of a kind a run measures.
const STATEMENTS: u32 = 2000;
/// How many runs of each sort there are.
const RUNS: usize = 15;

struct Silent;

impl Witness for Silent {}

/// How long a read, a write of its own, and a transaction of three statements take.
async fn measure(file: std::path::PathBuf, mode: SqliteJournalMode) -> [Duration; 3] {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(mode)
        .synchronous(SqliteSynchronous::Off);
    let options = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options);
    let pool = options.await.unwrap();
    let table = "CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)";
    sqlx::query(table).execute(&pool).await.unwrap();
    let now = || outside(Instant::now);
    let mut took = [Duration::ZERO; 3];
    let began = now();
    for _ in 0..STATEMENTS {
        let read = sqlx::query("SELECT count(*) FROM t WHERE n = 1");
        read.fetch_one(&pool).await.unwrap();
    }
    took[0] = (now() - began) / STATEMENTS;
    let began = now();
    for _ in 0..STATEMENTS {
        let insert = sqlx::query("INSERT INTO t (text) VALUES ('one')");
        insert.execute(&pool).await.unwrap();
    }
    took[1] = (now() - began) / STATEMENTS;
    let began = now();
    for _ in 0..STATEMENTS {
        let mut transaction = pool.begin().await.unwrap();
        let insert = sqlx::query("INSERT INTO t (text) VALUES ('one')");
        insert.execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }
    took[2] = (now() - began) / STATEMENTS;
    pool.close().await;
    took
}

/// The same run, watched or not.
fn cost(folder: &Path, mode: SqliteJournalMode, is_watched: bool) -> [Duration; 3] {
    let folder = folder.to_owned();
    let run = run(Settings::of([1; 32]), move |machine| {
        let watch = is_watched.then(|| stormglass_sqlite::watch(&folder, Arc::new(Silent)));
        let watch = watch.transpose().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let file = folder.join(if is_watched { "watched.db" } else { "plain.db" });
        machine.start_service("ada", &[], move || async move {
            tell.send(measure(file, mode).await).unwrap();
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
        drop(watch);
        told.recv().unwrap()
    });
    run.unwrap()
}

fn main() {
    // What is put below SQLite stays there, so that the first runs are those without.
    for mode in [SqliteJournalMode::Wal, SqliteJournalMode::Delete] {
        let mut best = [[Duration::MAX; 3]; 2];
        for _ in 0..RUNS {
            for is_watched in [false, true] {
                let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
                let took = cost(folder.unwrap().path(), mode, is_watched);
                let best = &mut best[usize::from(is_watched)];
                for (best, took) in best.iter_mut().zip(took) {
                    *best = took.min(*best);
                }
            }
        }
        let kinds = ["read", "write", "transaction"];
        for (kind, (plain, watched)) in kinds.iter().zip(best[0].iter().zip(best[1])) {
            let ratio = watched.as_secs_f64() / plain.as_secs_f64();
            println!("{mode:?} {kind}: {plain:?} plain, {watched:?} watched, ratio {ratio:.3}");
        }
    }
}
