//! Commits: seen as they take effect, lost, or done without an answer.

use std::time::Duration;

use sqlx::sqlite::SqliteJournalMode;
use stormglass_sqlite::{CommitFault, Fate};

use crate::stage::{MODES, Scribe, Service, Stage};

const SUM: &str = "SELECT count(*) || ' rows' FROM t";

fn without_the_table(lines: Vec<String>) -> Vec<String> {
    let of_table = |line: &&String| line.contains("[CREATE TABLE") || line.contains("[PRAGMA");
    let (of_table, rest): (Vec<_>, Vec<_>) = lines.iter().partition(of_table);
    assert!(!of_table.is_empty(), "{lines:#?}");
    rest.into_iter().cloned().collect()
}

/// Writes in every way that there is to commit something.
async fn write(service: Service) {
    let pool = service.table(1).await;
    let insert = |number: i64| sqlx::query("INSERT INTO t VALUES ($1)").bind(number);
    service.tell("autocommit", insert(1).execute(&pool).await);

    let mut transaction = pool.begin().await.unwrap();
    insert(2).execute(&mut *transaction).await.unwrap();
    insert(3).execute(&mut *transaction).await.unwrap();
    service.tell("transaction", transaction.commit().await);

    let mut connection = pool.acquire().await.unwrap();
    for sql in ["SAVEPOINT s", "INSERT INTO t VALUES (4)"] {
        sqlx::query(sql).execute(&mut *connection).await.unwrap();
    }
    let release = sqlx::query("RELEASE s");
    service.tell("savepoint", release.execute(&mut *connection).await);
    let several = sqlx::raw_sql("BEGIN; INSERT INTO t VALUES (5); END");
    service.tell("script", several.execute(&mut *connection).await);
    drop(connection);

    let returning = sqlx::query("INSERT INTO t VALUES (6) RETURNING n");
    service.tell("returning", returning.fetch_one(&pool).await);
    pool.close().await;
}

/// The lines, with the numbers of commits left out.
pub(crate) fn seen(lines: &[String]) -> Vec<String> {
    let named = lines
        .iter()
        .map(|line| match line.split_once(" commits as ") {
            Some((before, after)) => {
                let (_, after) = after.split_once(' ').unwrap();
                format!("{before} commits {after}")
            }
            None => line.clone(),
        });
    named.collect()
}

#[test]
fn every_commit_is_seen_before_its_caller_knows_and_is_in_the_file_by_then() {
    let expected = [
        "ada shop.db#1 commits [INSERT INTO t VALUES ($1)]",
        "ada shop.db#1 committed 1 rows [INSERT INTO t VALUES ($1)]",
        "autocommit: done",
        "ada shop.db#1 commits [COMMIT]",
        "ada shop.db#1 committed 3 rows [COMMIT]",
        "transaction: done",
        "ada shop.db#1 commits [RELEASE s]",
        "ada shop.db#1 committed 4 rows [RELEASE s]",
        "savepoint: done",
        "ada shop.db#1 commits [END]",
        "ada shop.db#1 committed 5 rows [END]",
        "script: done",
        "ada shop.db#1 commits [INSERT INTO t VALUES (6) RETURNING n]",
        "ada shop.db#1 committed 6 rows [INSERT INTO t VALUES (6) RETURNING n]",
        "returning: done",
    ];
    for mode in MODES {
        let lines = Stage::of(mode, Scribe::probing(SUM)).run(write);
        assert_eq!(seen(&without_the_table(lines)), expected, "{mode:?}");
    }
}

/// Does nothing that a commit would leave a trace of.
async fn write_nothing(service: Service) {
    let pool = service.table(1).await;
    service.log.say("begin");
    let statements = [
        "SELECT * FROM t",
        "UPDATE t SET n = 2 WHERE n = 1",
        "PRAGMA wal_checkpoint",
        "BEGIN; SELECT * FROM t; COMMIT",
        "BEGIN IMMEDIATE; COMMIT",
        "BEGIN IMMEDIATE; ROLLBACK",
        "BEGIN; INSERT INTO t VALUES (1); ROLLBACK",
        "SAVEPOINT s; RELEASE s",
    ];
    for sql in statements {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        service.log.say(format!("did {sql}"));
    }
    pool.close().await;
}

#[test]
fn what_writes_nothing_commits_nothing() {
    for mode in MODES {
        let lines = Stage::of(mode, Scribe::default()).run(write_nothing);
        let committed = lines.iter().skip_while(|line| *line != "begin");
        let committed: Vec<_> = committed.filter(|line| line.contains("commit")).collect();
        assert!(committed.is_empty(), "{mode:?} {committed:#?}");
    }
}

/// Writes a transaction, and then another one by the same connection.
async fn write_twice(service: Service) {
    let pool = service.table(1).await;
    for numbers in [[1, 2], [3, 4]] {
        let mut transaction = pool.begin().await.unwrap();
        for number in numbers {
            let insert = sqlx::query("INSERT INTO t VALUES ($1)").bind(number);
            insert.execute(&mut *transaction).await.unwrap();
        }
        service.tell("commit", transaction.commit().await);
    }
    let found: String = sqlx::query_scalar("SELECT group_concat(n) FROM t")
        .fetch_one(&pool)
        .await
        .unwrap();
    service.log.say(format!("found {found}"));
    pool.close().await;
}

/// What becomes of both transactions if that becomes of the first one's commit.
fn struck(mode: SqliteJournalMode, fate: impl Into<Fate<CommitFault>>) -> Vec<String> {
    let first = match mode {
        // Turning a new file into one with a log is a commit as well.
        SqliteJournalMode::Wal => 3,
        _ => 2,
    };
    let scribe = Scribe::probing(SUM).commit(first, fate);
    seen(&without_the_table(Stage::of(mode, scribe).run(write_twice)))
}

// After the failed commit sqlx takes the transaction for open, so that it rolls back once more, in vain, and makes the
// next one a savepoint.

#[test]
fn a_lost_commit_is_rolled_back_and_fails() {
    let expected = [
        "ada shop.db#1 commits [COMMIT]",
        "ada shop.db#1 failed 1034 disk I/O error [COMMIT]",
        "ada shop.db#1 rolled back Failed [COMMIT]",
        "commit: (code: 1034) disk I/O error",
        "ada shop.db#1 failed 1 cannot rollback - no transaction is active [ROLLBACK]",
        "ada shop.db#1 commits [RELEASE SAVEPOINT _sqlx_savepoint_1]",
        "ada shop.db#1 committed 2 rows [RELEASE SAVEPOINT _sqlx_savepoint_1]",
        "commit: done",
        "found 3,4",
    ];
    for mode in MODES {
        assert_eq!(struck(mode, CommitFault::Lost), expected, "{mode:?}");
    }
}

#[test]
fn a_commit_whose_answer_is_lost_stands_and_fails() {
    let expected = [
        "ada shop.db#1 commits [COMMIT]",
        "ada shop.db#1 committed 2 rows [COMMIT]",
        "ada shop.db#1 failed 1034 disk I/O error [COMMIT]",
        "commit: (code: 1034) disk I/O error",
        "ada shop.db#1 failed 1 cannot rollback - no transaction is active [ROLLBACK]",
        "ada shop.db#1 commits [RELEASE SAVEPOINT _sqlx_savepoint_1]",
        "ada shop.db#1 committed 4 rows [RELEASE SAVEPOINT _sqlx_savepoint_1]",
        "commit: done",
        "found 1,2,3,4",
    ];
    for mode in MODES {
        assert_eq!(struck(mode, CommitFault::AnswerLost), expected, "{mode:?}");
    }
}

/// Writes without a transaction, thrice.
async fn write_alone(service: Service) {
    let pool = service.table(1).await;
    for number in 1..=3 {
        let insert = sqlx::query("INSERT INTO t VALUES ($1)").bind(number);
        service.tell("insert", insert.execute(&pool).await);
    }
    pool.close().await;
}

#[test]
fn a_statement_outside_of_a_transaction_is_struck_as_a_commit() {
    for mode in MODES {
        let second = if mode == SqliteJournalMode::Wal { 4 } else { 3 };
        let run = |fault: CommitFault| {
            let scribe = Scribe::probing(SUM).commit(second, fault);
            let lines = Stage::of(mode, scribe).run(write_alone);
            let of_interest = |line: &String| line.contains("rows") || line.starts_with("insert");
            let mut lines = without_the_table(lines);
            lines.retain(of_interest);
            lines
        };
        let lost = [
            "ada shop.db#1 committed 1 rows [INSERT INTO t VALUES ($1)]",
            "insert: done",
            "insert: (code: 1034) disk I/O error",
            "ada shop.db#1 committed 2 rows [INSERT INTO t VALUES ($1)]",
            "insert: done",
        ];
        assert_eq!(run(CommitFault::Lost), lost, "{mode:?}");
        let answer_lost = [
            "ada shop.db#1 committed 1 rows [INSERT INTO t VALUES ($1)]",
            "insert: done",
            "ada shop.db#1 committed 2 rows [INSERT INTO t VALUES ($1)]",
            "insert: (code: 1034) disk I/O error",
            "ada shop.db#1 committed 3 rows [INSERT INTO t VALUES ($1)]",
            "insert: done",
        ];
        assert_eq!(run(CommitFault::AnswerLost), answer_lost, "{mode:?}");
    }
}

#[test]
fn the_answer_to_a_commit_takes_its_time_while_others_read_what_it_wrote() {
    for mode in MODES {
        let second = if mode == SqliteJournalMode::Wal { 3 } else { 2 };
        let scribe = Scribe::probing(SUM).commit(second, Fate::after(Duration::from_secs(3)));
        let lines = Stage::of(mode, scribe).run(|service| async move {
            let pool = service.table(2).await;
            let reader = (pool.clone(), service.clone());
            let reader = tokio::spawn(async move {
                let (pool, service) = reader;
                tokio::time::sleep(Duration::from_secs(1)).await;
                let found: String = sqlx::query_scalar(SUM).fetch_one(&pool).await.unwrap();
                service.log.say_at(&format!("found {found}"));
            });
            let insert = sqlx::query("INSERT INTO t VALUES (1)");
            insert.execute(&pool).await.unwrap();
            service.log.say_at("inserted");
            reader.await.unwrap();
            pool.close().await;
        });
        let timed: Vec<_> = lines.iter().filter(|line| line.contains(" ms: ")).collect();
        assert_eq!(
            timed,
            ["1000 ms: found 1 rows", "3000 ms: inserted"],
            "{mode:?}"
        );
    }
}
