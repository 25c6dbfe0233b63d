//! Neighbours: what a service does with SQLite itself, and who is none of the witness' business.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, SqlitePool};
use stormglass_machine::{Ending, Settings, outside};
use stormglass_sqlite::{Call, CommitFault, Fate, Statement, StatementFault, Witness};

use crate::commits::seen;
use crate::stage::{MODES, Scribe, Stage, beside};

#[test]
fn the_hooks_of_a_service_are_its_own() {
    for mode in MODES {
        let second = if mode == SqliteJournalMode::Wal { 4 } else { 3 };
        let scribe = Scribe::default().commit(second, CommitFault::Lost);
        let lines = Stage::of(mode, scribe).run(|service| async move {
            service.table(1).await.close().await;
            let mut connection = service.options().connect().await.unwrap();
            let mut handle = connection.lock_handle().await.unwrap();
            let log = service.log.clone();
            handle.set_update_hook(move |update| {
                log.say(format!("updated {} {}", update.table, update.rowid));
            });
            let (log, mut commits) = (service.log.clone(), 0);
            handle.set_commit_hook(move || {
                commits += 1;
                log.say("hook: commits");
                commits < 3
            });
            let log = service.log.clone();
            handle.set_rollback_hook(move || log.say("hook: rolls back"));
            let (log, mut steps) = (service.log.clone(), 0);
            handle.set_progress_handler(1, move || {
                steps += 1;
                if steps == 1 {
                    log.say("hook: progress");
                }
                true
            });
            drop(handle);
            for number in 1..=3 {
                let insert = sqlx::query("INSERT INTO t VALUES ($1)").bind(number);
                service.tell("insert", insert.execute(&mut connection).await);
            }
            connection.close().await.unwrap();
        });
        let mut lines = seen(&lines);
        let begun = lines.iter().position(|line| line == "hook: progress");
        let lines = lines.split_off(begun.unwrap());
        let expected = [
            "hook: progress",
            "updated t 1",
            "hook: commits",
            "ada shop.db#2 commits [INSERT INTO t VALUES ($1)]",
            "ada shop.db#2 committed [INSERT INTO t VALUES ($1)]",
            "insert: done",
            "updated t 2",
            "hook: commits",
            "ada shop.db#2 commits [INSERT INTO t VALUES ($1)]",
            "ada shop.db#2 failed 1034 disk I/O error [INSERT INTO t VALUES ($1)]",
            "hook: rolls back",
            "insert: (code: 1034) disk I/O error",
            "updated t 2",
            "hook: commits",
            "hook: rolls back",
            "insert: (code: 531) constraint failed",
        ];
        assert_eq!(lines, expected, "{mode:?}");
    }
}

#[test]
fn databases_elsewhere_and_in_memory_are_not_watched() {
    let lines = Stage::of(SqliteJournalMode::Wal, Scribe::default()).run(|service| async move {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("other.db");
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true);
        let other = SqlitePool::connect_with(options).await.unwrap();
        let memory = SqlitePool::connect("sqlite::memory:").await.unwrap();
        for pool in [other, memory] {
            sqlx::query("CREATE TABLE t (n)")
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        }
        service.log.say("done");
    });
    assert_eq!(lines, ["done"]);
}

#[test]
fn who_is_outside_of_the_run_is_neither_watched_nor_struck() {
    let scribe = Scribe::default().statement("INSERT", StatementFault::Io);
    let lines = Stage::of(SqliteJournalMode::Wal, scribe).drive(|machine, service, watch| {
        let own = service.clone();
        machine.start_service("ada", &[], move || async move {
            own.table(1).await.close().await;
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
        service.log.say("begin");
        watch
            .lock("shop.db".as_ref(), Duration::from_secs(60))
            .unwrap();
        let options = service.options();
        outside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut connection = options.connect().await.unwrap();
                let insert = sqlx::query("INSERT INTO t VALUES (1)");
                insert.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            });
        });
    });
    assert_eq!(
        lines.last().map(String::as_str),
        Some("begin"),
        "{lines:#?}"
    );
}

#[test]
fn runs_beside_each_other_are_told_apart_by_their_folders() {
    let runs = (0..4).map(|number| {
        beside(move || {
            let scribe = match number {
                0 => Scribe::default().commit(3, CommitFault::Lost),
                _ => Scribe::default(),
            };
            Stage::of(SqliteJournalMode::Wal, scribe).run(|service| async move {
                let pool = service.table(2).await;
                for number in 0..50 {
                    let insert = sqlx::query("INSERT INTO t VALUES ($1)").bind(number);
                    service.tell("insert", insert.execute(&pool).await);
                }
                pool.close().await;
            })
        })
    });
    for (number, run) in runs.collect::<Vec<_>>().into_iter().enumerate() {
        let lines = run.join().unwrap();
        let failed = lines
            .iter()
            .filter(|line| line.starts_with("insert: ("))
            .count();
        let committed = lines
            .iter()
            .filter(|line| line.contains(" committed "))
            .count();
        assert_eq!(
            (failed, committed),
            if number == 0 { (1, 51) } else { (0, 52) }
        );
    }
}

#[test]
fn a_watch_that_is_over_is_told_nothing_more() {
    let scribe = Scribe::default();
    let log = scribe.log.clone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let heard = log.clone();
    stormglass_machine::run(Settings::of([1; 32]), move |machine| {
        let watch = stormglass_sqlite::watch(&path, Arc::new(scribe)).unwrap();
        machine.start_service("ada", &[], move || async move {
            let options = SqliteConnectOptions::new().filename(path.join("shop.db"));
            let mut connection = options.create_if_missing(true).connect().await.unwrap();
            for sql in ["CREATE TABLE one (n)", "CREATE TABLE two (n)"] {
                sqlx::query(sql).execute(&mut connection).await.unwrap();
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
        machine.sleep(Duration::from_secs(1));
        drop(watch);
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    })
    .unwrap();
    let expected = [
        "commits [CREATE TABLE one (n)]",
        "committed [CREATE TABLE one (n)]",
    ];
    let told = seen(&heard.lines());
    let told: Vec<_> = told
        .iter()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(told, expected);
}

/// Panics at the second statement.
struct Faint;

impl Witness for Faint {
    fn statement(&self, call: &Call<'_>, _: Statement) -> Fate<StatementFault> {
        assert!(!call.sql.contains("two"), "a second table");
        Fate::default()
    }
}

#[test]
fn a_panic_of_the_witness_comes_out_where_the_watch_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let told = stormglass_machine::run(Settings::of([1; 32]), move |machine| {
        let watch = stormglass_sqlite::watch(&path, Arc::new(Faint)).unwrap();
        machine.start_service("ada", &[], move || async move {
            let options = SqliteConnectOptions::new().filename(path.join("shop.db"));
            let connection = options.create_if_missing(true).connect().await;
            let mut connection: SqliteConnection = connection.unwrap();
            for sql in [
                "CREATE TABLE one (n)",
                "CREATE TABLE two (n)",
                "SELECT * FROM two",
            ] {
                sqlx::query(sql).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
        let panic = catch_unwind(AssertUnwindSafe(|| drop(watch))).unwrap_err();
        panic.downcast_ref::<&str>().map(|text| (*text).to_owned())
    });
    assert_eq!(told.unwrap().as_deref(), Some("a second table"));
}
