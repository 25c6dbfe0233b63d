//! Statements: told before they run, slow or failing on demand, and never at the expense of the file.

use std::time::Duration;

use sqlx::sqlite::SqliteJournalMode;
use stormglass_sqlite::{Fate, StatementFault};

use crate::stage::{MODES, Scribe, Service, Stage, short};

/// Executes what a script says, one statement after the other, on one connection.
async fn execute(service: &Service, pool: &sqlx::SqlitePool, script: &'static [&'static str]) {
    let mut connection = pool.acquire().await.unwrap();
    for &sql in script {
        let said = match sqlx::raw_sql(sql).execute(&mut *connection).await {
            Ok(_) => "done".to_owned(),
            Err(error) => short(&error),
        };
        service.log.say(format!("{sql}: {said}"));
    }
}

/// Runs a script on a connection, then looks at the file with that and another one.
fn run(mode: SqliteJournalMode, scribe: Scribe, script: &'static [&'static str]) -> Vec<String> {
    let lines = Stage::of(mode, scribe).run(move |service| async move {
        let pool = service.table(1).await;
        let setup = "CREATE TABLE filler (text); INSERT INTO filler VALUES (randomblob(100000))";
        sqlx::raw_sql(setup).execute(&pool).await.unwrap();
        service.log.say("begin");
        execute(&service, &pool, script).await;
        let sum = "SELECT (SELECT ifnull(group_concat(n), '') FROM t) || ' of ' || \
                   (SELECT count(*) FROM filler) || ' ' || integrity_check FROM pragma_integrity_check";
        let other = service.pool(1).await;
        for pool in [pool, other] {
            let found = sqlx::query_scalar::<_, String>(sum).fetch_one(&pool).await;
            service.log.say(found.unwrap());
            pool.close().await;
        }
    });
    let script = lines.iter().skip_while(|line| *line != "begin").skip(1);
    script.cloned().collect()
}

/// What the statement with the comment says, and what the file has in the end.
#[track_caller]
fn assert_struck(fault: StatementFault, script: &'static [&'static str], said: &str, left: &str) {
    for mode in MODES {
        let lines = run(mode, Scribe::default().statement("/*x*/", fault), script);
        let struck = script.iter().find(|sql| sql.contains("/*x*/")).unwrap();
        let told = lines.iter().find(|line| line.starts_with(struck)).unwrap();
        assert!(told.ends_with(said), "{mode:?} {lines:#?}");
        // The witness is told before.
        let failed = lines
            .iter()
            .position(|line| line.contains(" failed ") && line.contains("/*x*/"));
        assert_eq!(failed.is_some(), said != "done", "{mode:?} {lines:#?}");
        let own = format!("{left} of 1 ok");
        assert_eq!(
            lines[lines.len() - 2..],
            [own.clone(), own],
            "{mode:?} {lines:#?}"
        );
    }
}

const IO: &str = "disk I/O error";
const FULL: &str = "(code: 13) database or disk is full";

#[test]
fn a_read_meets_an_error_of_the_disk_and_the_next_one_does_not() {
    let alone = &["SELECT * FROM t /*x*/", "INSERT INTO t VALUES (1)"];
    assert_struck(StatementFault::Io, alone, IO, "1");
    let cached = &["BEGIN", "SELECT * FROM t", "SELECT * FROM t /*x*/"];
    assert_struck(StatementFault::Io, cached, IO, "");
    let own = &["BEGIN", "INSERT INTO t VALUES (1)", "SELECT * FROM t /*x*/"];
    assert_struck(StatementFault::Io, own, IO, "");
}

#[test]
fn a_write_that_meets_an_error_of_the_disk_undoes_its_transaction() {
    for (fault, said) in [(StatementFault::Io, IO), (StatementFault::Full, FULL)] {
        let alone = &["INSERT INTO t VALUES (1) /*x*/", "INSERT INTO t VALUES (2)"];
        assert_struck(fault, alone, said, "2");
        let first = &[
            "BEGIN",
            "INSERT INTO t VALUES (1) /*x*/",
            "INSERT INTO t VALUES (2)",
        ];
        assert_struck(fault, first, said, "2");
        let second = &[
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (2) /*x*/",
            "INSERT INTO t VALUES (3)",
        ];
        assert_struck(fault, second, said, "3");
        let begin = &["BEGIN IMMEDIATE /*x*/", "INSERT INTO t VALUES (1)"];
        assert_struck(fault, begin, said, "1");
        let commit = &["BEGIN", "INSERT INTO t VALUES (1)", "COMMIT /*x*/"];
        assert_struck(fault, commit, said, "");
    }
}

#[test]
fn what_asks_the_disk_for_nothing_meets_no_error() {
    for fault in [StatementFault::Io, StatementFault::Full] {
        assert_struck(
            fault,
            &["BEGIN /*x*/", "INSERT INTO t VALUES (1)", "COMMIT"],
            "done",
            "1",
        );
        let undone = &["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK /*x*/"];
        assert_struck(fault, undone, "done", "");
        let kept = &[
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "SAVEPOINT s /*x*/",
            "INSERT INTO t VALUES (2)",
            "ROLLBACK TO s /*x*/",
            "COMMIT",
        ];
        assert_struck(fault, kept, "done", "1");
    }
    let read = &[
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t /*x*/",
        "COMMIT",
    ];
    assert_struck(StatementFault::Full, read, "done", "1");
}

#[test]
fn a_statement_waits_before_it_has_an_effect() {
    for mode in MODES {
        let slow = Fate::after(Duration::from_millis(700));
        let lines = Stage::of(mode, Scribe::default().statement("VALUES (1)", slow)).run(
            |service| async move {
                let pool = service.table(2).await;
                let reader = pool.clone();
                let writer = tokio::spawn(async move {
                    let insert = sqlx::query("INSERT INTO t VALUES (1)");
                    insert.execute(&pool).await.unwrap();
                });
                tokio::time::sleep(Duration::from_millis(600)).await;
                let insert = sqlx::query("INSERT INTO t VALUES (2)");
                insert.execute(&reader).await.unwrap();
                service.log.say_at("inserted");
                writer.await.unwrap();
                service.log.say_at("and the other");
                let found: String = sqlx::query_scalar(
                    "SELECT group_concat(n) FROM (SELECT n FROM t ORDER BY rowid)",
                )
                .fetch_one(&reader)
                .await
                .unwrap();
                service.log.say(format!("found {found}"));
                reader.close().await;
            },
        );
        let said = lines.iter().skip_while(|line| !line.contains("inserted"));
        let said: Vec<_> = said.filter(|line| !line.starts_with("ada")).collect();
        let expected = ["600 ms: inserted", "700 ms: and the other", "found 2,1"];
        assert_eq!(said, expected, "{mode:?}");
    }
}

#[test]
fn every_statement_is_told_once_with_its_kind() {
    let script = &[
        "SELECT * FROM t",
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "SAVEPOINT s",
        "ROLLBACK TO s",
        "RELEASE s",
        "COMMIT",
        "SAVEPOINT t",
        "ROLLBACK",
        "-- a comment\nDELETE FROM t",
        "CREATE TRIGGER copies AFTER INSERT ON t BEGIN INSERT INTO filler VALUES (1); END",
        "INSERT INTO t VALUES (2)",
    ];
    let scribe = Scribe {
        tells_statements: true,
        ..Scribe::default()
    };
    let lines = run(SqliteJournalMode::Wal, scribe, script);
    let told = lines.iter().filter_map(|line| {
        let (told, sql) = line.strip_prefix("ada shop.db#1 ")?.split_once(" [")?;
        (!told.starts_with("commit")).then(|| format!("{told}: {}", sql.trim_end_matches(']')))
    });
    let told: Vec<_> = told.take(script.len()).collect();
    let expected = [
        "Read: SELECT * FROM t",
        "Begin: BEGIN",
        "Write within: INSERT INTO t VALUES (1)",
        "Savepoint within: SAVEPOINT s",
        "Savepoint within: ROLLBACK TO s",
        "Savepoint within: RELEASE s",
        "Commit within: COMMIT",
        "Begin: SAVEPOINT t",
        "RollBack within: ROLLBACK",
        "Write: -- a comment\nDELETE FROM t",
        "Write: CREATE TRIGGER copies AFTER INSERT ON t BEGIN INSERT INTO filler VALUES (1); END",
        "Write: INSERT INTO t VALUES (2)",
    ];
    assert_eq!(told, expected, "{lines:#?}");
}

#[test]
fn a_failure_is_told_with_what_sqlite_says() {
    let script = &[
        "INSERT INTO t VALUES (1), (1)",
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "ROLLBACK",
    ];
    for mode in MODES {
        let lines = run(mode, Scribe::default(), script);
        let expected = [
            "ada shop.db#1 failed 2067 UNIQUE constraint failed: t.n [INSERT INTO t VALUES (1), (1)]",
            "INSERT INTO t VALUES (1), (1): (code: 2067) UNIQUE constraint failed: t.n",
            "BEGIN: done",
            "INSERT INTO t VALUES (1): done",
            "ada shop.db#1 rolled back Asked [ROLLBACK]",
            "ROLLBACK: done",
        ];
        assert_eq!(lines[..expected.len()], expected, "{mode:?}");
    }
}

#[test]
fn a_transaction_that_is_open_when_its_connection_is_closed_is_told_to_be_rolled_back() {
    for mode in MODES {
        let lines = Stage::of(mode, Scribe::default()).run(|service| async move {
            let pool = service.table(1).await;
            let mut connection = pool.acquire().await.unwrap();
            let script = sqlx::raw_sql("BEGIN; INSERT INTO t VALUES (1)");
            script.execute(&mut *connection).await.unwrap();
            connection.close().await.unwrap();
            service.log.say("closed");
            pool.close().await;
        });
        let expected = ["ada shop.db#1 rolled back Closed []", "closed"];
        assert_eq!(lines[lines.len() - 2..], expected, "{mode:?} {lines:#?}");
    }
}
