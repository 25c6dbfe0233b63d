//! Kills: a process that is killed leaves its database as a real kill does, and nobody is told what its ghost does.

use std::time::Duration;

use sqlx::sqlite::SqliteJournalMode;
use stormglass_machine::Ending;
use stormglass_sqlite::{CommitFault, Fate, StatementFault};

use crate::stage::{MODES, Scribe, Service, Stage};

/// Writes one number, then begins a transaction that is so large that it is written to the disk before it ends.
async fn write(service: Service) {
    let pool = service.table(1).await;
    sqlx::raw_sql("PRAGMA cache_size = 10; CREATE TABLE IF NOT EXISTS filler (text)")
        .execute(&pool)
        .await
        .unwrap();
    let insert = |number: i64| sqlx::query("INSERT INTO t VALUES ($1)").bind(number);
    insert(1).execute(&pool).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    insert(2).execute(&mut *transaction).await.unwrap();
    let fill = "INSERT INTO filler VALUES (zeroblob(300000)), (zeroblob(300000))";
    sqlx::query(fill).execute(&mut *transaction).await.unwrap();
    service.log.say("filled");
    tokio::time::sleep(Duration::from_secs(5)).await;
    service.tell("commit", transaction.commit().await);
    pool.close().await;
}

const FOUND: &str = "SELECT group_concat(n) || ' and ' || (SELECT count(*) FROM filler) || ' ' || \
                     (SELECT integrity_check FROM pragma_integrity_check) FROM t";

/// Looks at the file and writes to it.
async fn look(service: Service) {
    let pool = service.pool(1).await;
    let found: String = sqlx::query_scalar(FOUND).fetch_one(&pool).await.unwrap();
    service.log.say(format!("found {found}"));
    let insert = sqlx::query("INSERT INTO t VALUES (7)");
    service.tell("insert", insert.execute(&pool).await);
    pool.close().await;
}

/// Kills whoever writes after `seconds`, starts another process there and lets it look.
fn killed(mode: SqliteJournalMode, scribe: Scribe, seconds: u64) -> Vec<String> {
    let lines = Stage::of(mode, scribe).drive(move |machine, service, _| {
        let own = service.clone();
        machine.start_service("ada", &[], move || write(own));
        machine.sleep(Duration::from_secs(seconds));
        machine.kill("ada");
        service.log.say("killed");
        let own = service.clone();
        machine.start_service("ada", &[], move || look(own));
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    });
    let lines = lines.iter().skip_while(|line| *line != "filled").skip(1);
    lines.cloned().collect()
}

#[test]
fn a_kill_in_the_middle_of_a_transaction_leaves_nothing_of_it() {
    let expected = [
        "killed",
        "found 1 and 0 ok",
        "ada shop.db#2 commits [INSERT INTO t VALUES (7)]",
        "ada shop.db#2 committed [INSERT INTO t VALUES (7)]",
        "insert: done",
    ];
    for mode in MODES {
        let lines = killed(mode, Scribe::default(), 1);
        assert_eq!(crate::commits::seen(&lines), expected, "{mode:?}");
    }
}

#[test]
fn a_kill_before_the_answer_to_a_commit_leaves_the_commit() {
    for mode in MODES {
        let fourth = if mode == SqliteJournalMode::Wal { 5 } else { 4 };
        let slow = Fate::after(Duration::from_secs(3));
        let lines = killed(mode, Scribe::default().commit(fourth, slow), 6);
        let expected = [
            "ada shop.db#1 commits [COMMIT]",
            "ada shop.db#1 committed [COMMIT]",
            "killed",
            "found 1,2 and 2 ok",
        ];
        let lines = crate::commits::seen(&lines);
        assert_eq!(lines[..4], expected, "{mode:?} {lines:#?}");
    }
}

#[test]
fn a_kill_while_a_statement_is_slow_keeps_it_from_its_effect() {
    for mode in MODES {
        let slow = Fate::after(Duration::from_secs(3));
        let lines = killed(mode, Scribe::default().statement("COMMIT", slow), 6);
        assert_eq!(
            lines[..2],
            ["killed", "found 1 and 0 ok"],
            "{mode:?} {lines:#?}"
        );
    }
}

#[test]
fn a_kill_while_a_lost_commit_is_not_answered_leaves_nothing_of_it() {
    for mode in MODES {
        let fourth = if mode == SqliteJournalMode::Wal { 5 } else { 4 };
        let fate = Fate {
            after: Duration::from_secs(3),
            fault: Some(CommitFault::Lost),
        };
        let lines = killed(mode, Scribe::default().commit(fourth, fate), 6);
        let lines = crate::commits::seen(&lines);
        let expected = [
            "ada shop.db#1 commits [COMMIT]",
            "killed",
            "found 1 and 0 ok",
        ];
        assert_eq!(lines[..3], expected, "{mode:?} {lines:#?}");
    }
}

#[test]
fn a_kill_while_a_lock_is_waited_for_ends_the_waiting() {
    for mode in MODES {
        let locked = StatementFault::Locked(Duration::from_secs(60));
        let lines = Stage::of(mode, Scribe::default().statement("VALUES (9)", locked)).drive(
            move |machine, service, watch| {
                let own = service.clone();
                machine.start_service("ada", &[], move || async move {
                    let pool = own.table(1).await;
                    let insert = sqlx::query("INSERT INTO t VALUES (9)");
                    own.tell("insert", insert.execute(&pool).await);
                });
                machine.sleep(Duration::from_secs(1));
                machine.kill("ada");
                service.log.say("killed");
                let _ = watch;
            },
        );
        assert_eq!(
            lines.last().map(String::as_str),
            Some("killed"),
            "{mode:?} {lines:#?}"
        );
    }
}
