//! Modes and files that few use: commits are seen there as well.

use std::time::Duration;

use sqlx::sqlite::{SqliteJournalMode, SqliteLockingMode};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use stormglass_machine::Ending;
use stormglass_sqlite::{CommitFault, StatementFault};

use crate::commits::seen;
use crate::stage::{MODES, Scribe, Service, Stage};

/// What is said from the line `begin` on.
fn from_begin(lines: &[String]) -> Vec<String> {
    let lines = seen(lines);
    let rest = lines.iter().skip_while(|line| *line != "begin").skip(1);
    rest.cloned().collect()
}

async fn execute(service: &Service, connection: &mut SqliteConnection, script: &[&'static str]) {
    for &sql in script {
        let result = sqlx::raw_sql(sql).execute(&mut *connection).await;
        service.tell(sql, result);
    }
}

#[test]
fn a_connection_that_keeps_its_locks_is_seen_to_commit() {
    for mode in MODES {
        let lines = Stage::of(mode, Scribe::default()).run(|service| async move {
            let options = service.options().locking_mode(SqliteLockingMode::Exclusive);
            let mut connection = options.connect().await.unwrap();
            execute(&service, &mut connection, &["CREATE TABLE t (n)"]).await;
            service.log.say("begin");
            let script = [
                "INSERT INTO t VALUES (1)",
                "BEGIN; INSERT INTO t VALUES (2); COMMIT",
            ];
            execute(&service, &mut connection, &script).await;
            let script = [
                "BEGIN; INSERT INTO t VALUES (3); ROLLBACK",
                "BEGIN IMMEDIATE; COMMIT",
            ];
            execute(&service, &mut connection, &script).await;
            connection.close().await.unwrap();
        });
        let expected = [
            "ada shop.db#1 commits [INSERT INTO t VALUES (1)]",
            "ada shop.db#1 committed [INSERT INTO t VALUES (1)]",
            "INSERT INTO t VALUES (1): done",
            "ada shop.db#1 commits [COMMIT]",
            "ada shop.db#1 committed [COMMIT]",
            "BEGIN; INSERT INTO t VALUES (2); COMMIT: done",
            "BEGIN; INSERT INTO t VALUES (3); ROLLBACK: done",
            "BEGIN IMMEDIATE; COMMIT: done",
        ];
        assert_eq!(from_begin(&lines), expected, "{mode:?}");
    }
}

#[test]
fn a_journal_in_memory_is_rolled_back_and_committed_as_any() {
    for mode in [SqliteJournalMode::Memory, SqliteJournalMode::Off] {
        let scribe = Scribe::probing("SELECT count(*) || ' rows' FROM t");
        let lines =
            Stage::of(mode, scribe.commit(3, CommitFault::Lost)).run(|service| async move {
                let pool = service.table(1).await;
                let mut connection = pool.acquire().await.unwrap();
                service.log.say("begin");
                let script = [
                    "INSERT INTO t VALUES (1)",
                    "INSERT INTO t VALUES (2)",
                    "INSERT INTO t VALUES (3)",
                    "PRAGMA cache_size = 10; CREATE TABLE filler (text)",
                    "BEGIN; INSERT INTO filler VALUES (zeroblob(300000)), (1); ROLLBACK",
                ];
                execute(&service, &mut connection, &script).await;
                drop(connection);
                pool.close().await;
            });
        // Without a journal nothing can be rolled back.
        let left = if mode == SqliteJournalMode::Off { 3 } else { 2 };
        let expected = [
            "ada shop.db#1 commits [INSERT INTO t VALUES (1)]".to_owned(),
            "ada shop.db#1 committed 1 rows [INSERT INTO t VALUES (1)]".to_owned(),
            "INSERT INTO t VALUES (1): done".to_owned(),
            "ada shop.db#1 commits [INSERT INTO t VALUES (2)]".to_owned(),
            "ada shop.db#1 failed 1034 disk I/O error [INSERT INTO t VALUES (2)]".to_owned(),
            "INSERT INTO t VALUES (2): (code: 1034) disk I/O error".to_owned(),
            "ada shop.db#1 commits [INSERT INTO t VALUES (3)]".to_owned(),
            format!("ada shop.db#1 committed {left} rows [INSERT INTO t VALUES (3)]"),
            "INSERT INTO t VALUES (3): done".to_owned(),
            "ada shop.db#1 commits [CREATE TABLE filler (text)]".to_owned(),
            format!("ada shop.db#1 committed {left} rows [CREATE TABLE filler (text)]"),
            "PRAGMA cache_size = 10; CREATE TABLE filler (text): done".to_owned(),
            "ada shop.db#1 rolled back Asked [ROLLBACK]".to_owned(),
            "BEGIN; INSERT INTO filler VALUES (zeroblob(300000)), (1); ROLLBACK: done".to_owned(),
        ];
        assert_eq!(from_begin(&lines), expected, "{mode:?}");
    }
}

#[test]
fn attached_files_are_seen_each() {
    for mode in MODES {
        let lines = Stage::of(mode, Scribe::default()).run(|service| async move {
            let pool = service.table(1).await;
            let mut connection = pool.acquire().await.unwrap();
            let other = service.folder.join("other.db");
            let attach = format!("ATTACH '{}' AS other", other.display());
            sqlx::query(sqlx::AssertSqlSafe(attach))
                .execute(&mut *connection)
                .await
                .unwrap();
            execute(&service, &mut connection, &["CREATE TABLE other.u (n)"]).await;
            service.log.say("begin");
            let script = [
                "INSERT INTO u VALUES (1)",
                "BEGIN; INSERT INTO t VALUES (1); INSERT INTO u VALUES (2); COMMIT",
            ];
            execute(&service, &mut connection, &script).await;
            drop(connection);
            pool.close().await;
        });
        let expected = [
            "ada other.db#2 commits []",
            "ada other.db#2 committed []",
            "INSERT INTO u VALUES (1): done",
            "ada shop.db#1 commits [COMMIT]",
            "ada other.db#2 commits []",
            "ada shop.db#1 committed [COMMIT]",
            "ada other.db#2 committed []",
            "BEGIN; INSERT INTO t VALUES (1); INSERT INTO u VALUES (2); COMMIT: done",
        ];
        assert_eq!(from_begin(&lines), expected, "{mode:?}");
    }
}

#[test]
fn a_large_transaction_that_is_written_early_commits_once() {
    for mode in MODES {
        let lines = Stage::of(mode, Scribe::default()).run(|service| async move {
            let pool = service.table(1).await;
            let mut connection = pool.acquire().await.unwrap();
            let script = ["PRAGMA cache_size = 10", "CREATE TABLE filler (n, text)"];
            execute(&service, &mut connection, &script).await;
            service.log.say("begin");
            let script = [
                "BEGIN",
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) \
                 INSERT INTO filler SELECT n, zeroblob(5000) FROM c",
                "UPDATE filler SET n = n + 1",
                "COMMIT",
                "BEGIN",
                "UPDATE filler SET n = n + 1",
                "ROLLBACK",
                "VACUUM",
                "PRAGMA wal_checkpoint(TRUNCATE)",
            ];
            execute(&service, &mut connection, &script).await;
            drop(connection);
            pool.close().await;
        });
        let told: Vec<_> = from_begin(&lines);
        let told: Vec<_> = told
            .iter()
            .filter(|line| line.starts_with("ada "))
            .collect();
        let expected = [
            "ada shop.db#1 commits [COMMIT]",
            "ada shop.db#1 committed [COMMIT]",
            "ada shop.db#1 rolled back Asked [ROLLBACK]",
            "ada shop.db#1 commits [VACUUM]",
            "ada shop.db#1 committed [VACUUM]",
        ];
        assert_eq!(told, expected, "{mode:?} {lines:#?}");
    }
}

#[test]
fn a_script_of_migrations_is_seen_one_commit_each() {
    for mode in MODES {
        let lines = Stage::of(mode, Scribe::default()).run(|service| async move {
            let folder = service.folder.join("migrations");
            std::fs::create_dir(&folder).unwrap();
            let scripts = [
                (
                    "1_first.sql",
                    "CREATE TABLE one (n); INSERT INTO one VALUES (1);",
                ),
                (
                    "2_second.sql",
                    "CREATE TABLE two (n); INSERT INTO two SELECT n FROM one;",
                ),
            ];
            for (name, script) in scripts {
                std::fs::write(folder.join(name), script).unwrap();
            }
            let pool = service.pool(2).await;
            let migrator = sqlx::migrate::Migrator::new(folder.as_path())
                .await
                .unwrap();
            service.log.say("begin");
            migrator.run(&pool).await.unwrap();
            migrator.run(&pool).await.unwrap();
            let found: i64 = sqlx::query_scalar("SELECT n FROM two")
                .fetch_one(&pool)
                .await
                .unwrap();
            service.log.say(format!("found {found}"));
            pool.close().await;
        });
        let lines = from_begin(&lines);
        let commits = lines
            .iter()
            .filter(|line| line.contains(" committed [COMMIT]"))
            .count();
        assert_eq!(commits, 2, "{mode:?} {lines:#?}");
        assert_eq!(
            lines.last().map(String::as_str),
            Some("found 1"),
            "{mode:?}"
        );
    }
}

#[test]
fn a_statement_that_another_connection_makes_old_is_told_once() {
    for mode in MODES {
        let scribe = Scribe {
            tells_statements: true,
            ..Scribe::default()
        };
        let lines = Stage::of(mode, scribe).run(|service| async move {
            service.table(1).await.close().await;
            let mut one = service.options().connect().await.unwrap();
            let mut other = service.options().connect().await.unwrap();
            let insert = |number: i64| sqlx::query("INSERT INTO t VALUES ($1)").bind(number);
            insert(1).execute(&mut one).await.unwrap();
            execute(&service, &mut other, &["CREATE TABLE u (n)"]).await;
            service.log.say("begin");
            service.tell("insert", insert(2).execute(&mut one).await);
            service.tell("insert", insert(2).execute(&mut one).await);
            one.close().await.unwrap();
            other.close().await.unwrap();
        });
        let expected = [
            "ada shop.db#2 Write [INSERT INTO t VALUES ($1)]",
            "ada shop.db#2 commits [INSERT INTO t VALUES ($1)]",
            "ada shop.db#2 committed [INSERT INTO t VALUES ($1)]",
            "insert: done",
            "ada shop.db#2 Write [INSERT INTO t VALUES ($1)]",
            "ada shop.db#2 failed 2067 UNIQUE constraint failed: t.n [INSERT INTO t VALUES ($1)]",
            "insert: (code: 2067) UNIQUE constraint failed: t.n",
        ];
        assert_eq!(from_begin(&lines), expected, "{mode:?}");
    }
}

#[test]
fn statements_within_a_statement_are_a_part_of_it() {
    for mode in MODES {
        let io = StatementFault::Io;
        let scribe = Scribe {
            tells_statements: true,
            ..Scribe::default().statement("'struck'", io)
        };
        let lines = Stage::of(mode, scribe).run(|service| async move {
            let mut connection = service.options().connect().await.unwrap();
            execute(
                &service,
                &mut connection,
                &["CREATE VIRTUAL TABLE f USING fts5(text)"],
            )
            .await;
            service.log.say("begin");
            let script = [
                "INSERT INTO f VALUES ('one')",
                "INSERT INTO f VALUES ('struck')",
                "INSERT INTO f (rowid, text) VALUES (1, 'two')",
                "SELECT * FROM f WHERE f MATCH 'one'",
            ];
            execute(&service, &mut connection, &script).await;
            connection.close().await.unwrap();
        });
        let lines = from_begin(&lines);
        let told: Vec<_> = lines.iter().filter(|line| !line.contains("] ")).collect();
        let expected = [
            "ada shop.db#1 Write [INSERT INTO f VALUES ('one')]",
            "ada shop.db#1 commits [INSERT INTO f VALUES ('one')]",
            "ada shop.db#1 committed [INSERT INTO f VALUES ('one')]",
            "INSERT INTO f VALUES ('one'): done",
            "ada shop.db#1 Write [INSERT INTO f VALUES ('struck')]",
        ];
        assert_eq!(told[..expected.len()], expected, "{mode:?}");
        let last = [
            "ada shop.db#1 Read [SELECT * FROM f WHERE f MATCH 'one']",
            "SELECT * FROM f WHERE f MATCH 'one': done",
        ];
        assert_eq!(told[told.len() - 2..], last, "{mode:?} {lines:#?}");
        let again = lines.iter().filter(|line| line.contains(" failed 1555 "));
        assert_eq!(again.count(), 1, "{mode:?} {lines:#?}");
        let failed = lines
            .iter()
            .filter(|line| line.contains("disk I/O error"))
            .count();
        assert_eq!(failed, 2, "{mode:?} {lines:#?}");
    }
}

#[test]
fn a_checkpoint_that_meets_a_lock_has_not_failed() {
    let lines =
        Stage::of(SqliteJournalMode::Wal, Scribe::default()).drive(|machine, service, watch| {
            let own = service.clone();
            machine.start_service("ada", &[], move || async move {
                let pool = own.table(1).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                own.log.say("begin");
                let checkpoint = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)");
                let is_busy: i64 = checkpoint.fetch_one(&pool).await.unwrap();
                own.log.say_at(&format!("busy: {is_busy}"));
                pool.close().await;
            });
            machine.sleep(Duration::from_millis(900));
            watch
                .lock("shop.db".as_ref(), Duration::from_secs(60))
                .unwrap();
            assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
        });
    let expected = [
        "ada shop.db#1 committed [CREATE TABLE IF NOT EXISTS t (n INTEGER UNIQUE)]",
        "begin",
    ];
    let said = &lines[lines.len() - 3..];
    assert_eq!(said[..2], expected, "{lines:#?}");
    assert!(said[2].ends_with("busy: 1"), "{lines:#?}");
}
