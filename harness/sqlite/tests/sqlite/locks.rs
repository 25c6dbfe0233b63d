//! Locks: of other connections and of nobody in the run, waited for in virtual time as SQLite waits.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteJournalMode;
use stormglass_machine::{Ending, Machine};
use stormglass_sqlite::{StatementFault, Watch};

use crate::stage::{MODES, Scribe, Service, Stage};

const LOCKED: &str = "(code: 5) database is locked";

/// That something was said, once, at about that time.
#[track_caller]
fn assert_said(lines: &[String], at_ms: u64, what: &str) {
    let timed: Vec<_> = lines.iter().filter(|line| line.contains(" ms: ")).collect();
    let [timed] = &timed[..] else {
        panic!("{lines:#?}");
    };
    let (said_at, said) = timed.split_once(" ms: ").unwrap();
    assert_eq!(said, what, "{lines:#?}");
    // SQLite looks again after pauses of up to a tenth of a second.
    let said_at: u64 = said_at.parse().unwrap();
    assert!((at_ms..=at_ms + 100).contains(&said_at), "{lines:#?}");
}

/// Begins to write after `after` and holds that for `time`.
async fn hold(service: Service, after: Duration, time: Duration) {
    let pool = service.pool(1).await;
    tokio::time::sleep(after).await;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let insert = sqlx::query("INSERT INTO t VALUES (1)");
    insert.execute(&mut *transaction).await.unwrap();
    tokio::time::sleep(time).await;
    transaction.commit().await.unwrap();
    pool.close().await;
}

/// Writes once after a second and a half.
async fn write(service: Service) {
    let pool = service.pool(1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let insert = sqlx::query("INSERT INTO t VALUES (2)");
    let result = insert.execute(&pool).await;
    let said = match result {
        Ok(_) => "written".to_owned(),
        Err(error) => crate::stage::short(&error),
    };
    service.log.say_at(&said);
    pool.close().await;
}

/// Reads and then writes in one transaction, after a second and a half.
async fn read_and_write(service: Service) {
    let pool = service.pool(1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut transaction = pool.begin().await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM t")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    let insert = sqlx::query("INSERT INTO t VALUES (2)");
    let said = match insert.execute(&mut *transaction).await {
        Ok(_) => format!("written after {count}"),
        Err(error) => crate::stage::short(&error),
    };
    service.log.say_at(&said);
    drop(transaction);
    pool.close().await;
}

#[test]
fn what_would_grow_on_a_full_disk_fails_and_is_undone() {
    for mode in MODES {
        let stage = Stage::of(mode, Scribe::default());
        let lines = stage.drive(|machine, service, watch| {
            let own = service.clone();
            machine.start_service("ada", &[], move || fill(own));
            for is_full in [false, true, false] {
                watch.set_full(Path::new("shop.db"), is_full);
                machine.sleep(Duration::from_secs(1));
            }
            machine.wait_for_end("ada");
        });
        let said: Vec<_> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("said "))
            .collect();
        let full = "2: (code: 13) database or disk is full";
        assert_eq!(said, ["1: done", full, "3: done", "2 rows"], "{mode:?}");
        let met = lines.iter().any(|line| line.contains("ran full"));
        assert!(met, "{mode:?}: {lines:#?}");
    }
}

/// Writes more than fits into a page every second.
async fn fill(service: Service) {
    let pool = service.pool(1).await;
    let table = "CREATE TABLE large (n INTEGER, bytes BLOB)";
    sqlx::query(table).execute(&pool).await.unwrap();
    for n in 1..=3 {
        let insert = sqlx::query("INSERT INTO large VALUES ($1, zeroblob(100000))");
        let inserted = insert.bind(n).execute(&pool).await;
        service.tell(&format!("said {n}"), inserted);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM large")
        .fetch_one(&pool)
        .await
        .unwrap();
    service.log.say(format!("said {count} rows"));
    pool.close().await;
}

/// Who does what while a lock is held.
type Work = fn(Service) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Lets `ben` work while somebody has the lock, from the first second on.
fn locked_by(
    mode: SqliteJournalMode,
    scribe: Scribe,
    lock: impl FnOnce(&Machine, &Service, &Watch) + Send + 'static,
    ben: Work,
) -> Vec<String> {
    Stage::of(mode, scribe).drive(move |machine, service, watch| {
        let own = service.clone();
        machine.start_service("setup", &[], move || async move {
            own.table(1).await.close().await;
        });
        assert_eq!(machine.wait_for_end("setup"), Some(Ending::Returned));
        let own = service.clone();
        machine.start_service("ben", &[], move || ben(own));
        lock(machine, service, watch);
        assert_eq!(machine.wait_for_end("ben"), Some(Ending::Returned));
        machine.wait_for_end("ada");
    })
}

fn by_ada(time: Duration) -> impl FnOnce(&Machine, &Service, &Watch) {
    move |machine, service, _| {
        let own = service.clone();
        machine.start_service("ada", &[], move || hold(own, Duration::from_secs(1), time));
    }
}

fn by_nobody(time: Duration) -> impl FnOnce(&Machine, &Service, &Watch) {
    move |machine, _, watch| {
        machine.sleep(Duration::from_secs(1));
        watch.lock(Path::new("shop.db"), time).unwrap();
    }
}

#[test]
fn a_lock_is_waited_for_until_it_is_free_or_the_busy_timeout_is_over() {
    for mode in MODES {
        for (held, at_ms, said) in [(2, 3000, "written"), (7, 6500, LOCKED)] {
            let held = Duration::from_secs(held);
            let scribe = Scribe::default;
            for lines in [
                locked_by(mode, scribe(), by_ada(held), |own| Box::pin(write(own))),
                locked_by(mode, scribe(), by_nobody(held), |own| Box::pin(write(own))),
            ] {
                assert_said(&lines, at_ms, said);
                let told = match said {
                    LOCKED => {
                        "ben shop.db#2 failed 5 database is locked [INSERT INTO t VALUES (2)]"
                    }
                    _ => "ben shop.db#2 waited 1.528s [INSERT INTO t VALUES (2)]",
                };
                assert!(lines.iter().any(|line| line == told), "{lines:#?}");
            }
        }
    }
}

#[test]
fn a_transaction_that_has_read_does_not_wait() {
    for mode in MODES {
        let held = Duration::from_secs(2);
        let scribe = Scribe::default;
        for lines in [
            locked_by(mode, scribe(), by_ada(held), |own| {
                Box::pin(read_and_write(own))
            }),
            locked_by(mode, scribe(), by_nobody(held), |own| {
                Box::pin(read_and_write(own))
            }),
        ] {
            assert_said(&lines, 1500, LOCKED);
        }
    }
}

#[test]
fn who_only_reads_does_not_meet_the_lock() {
    for mode in MODES {
        let lock = by_nobody(Duration::from_secs(2));
        let lines = locked_by(mode, Scribe::default(), lock, |own| {
            Box::pin(async move {
                let pool = own.pool(1).await;
                tokio::time::sleep(Duration::from_millis(1500)).await;
                let count = sqlx::query_scalar("SELECT count(*) FROM t");
                let count: i64 = count.fetch_one(&pool).await.unwrap();
                own.log.say_at(&format!("found {count}"));
                pool.close().await;
            })
        });
        assert_said(&lines, 1500, "found 0");
    }
}

#[test]
fn a_statement_meets_a_lock_that_is_held_from_then_on() {
    for mode in MODES {
        for (held_ms, at_ms, said) in [(700, 2200, "written"), (9000, 6500, LOCKED)] {
            let locked = StatementFault::Locked(Duration::from_millis(held_ms));
            let scribe = Scribe::default().statement("VALUES (2)", locked);
            let lines = locked_by(mode, scribe, |_, _, _| {}, |own| Box::pin(write(own)));
            assert_said(&lines, at_ms, said);
        }
    }
}

#[test]
fn nobody_can_lock_what_a_connection_has_locked() {
    for mode in MODES {
        let locked = StatementFault::Locked(Duration::from_secs(3));
        let scribe = Scribe::default().statement("VALUES (1)", locked);
        // It is within a transaction that has the lock already.
        let lines = locked_by(mode, scribe, by_ada(Duration::from_secs(1)), |own| {
            Box::pin(write(own))
        });
        assert_said(&lines, 2000, "written");
    }
}

#[test]
fn who_has_the_lock_keeps_it_when_it_is_taken_by_others() {
    for mode in MODES {
        let lock = |machine: &Machine, service: &Service, watch: &Watch| {
            by_ada(Duration::from_secs(1))(machine, service, watch);
            machine.sleep(Duration::from_millis(1200));
            watch
                .lock(Path::new("shop.db"), Duration::from_secs(2))
                .unwrap();
        };
        let lines = locked_by(mode, Scribe::default(), lock, |own| Box::pin(write(own)));
        assert_said(&lines, 3200, "written");
        let committed = lines
            .iter()
            .any(|line| line.ends_with("committed [COMMIT]"));
        assert!(committed, "{mode:?} {lines:#?}");
    }
}
