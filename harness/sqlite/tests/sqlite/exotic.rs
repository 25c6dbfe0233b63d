//! Modes and files that few use: commits are seen there as well.

use sqlx::sqlite::{SqliteJournalMode, SqliteLockingMode};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use stormglass_sqlite::CommitFault;

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
