//! Locks: who waits, waits in virtual time, as on the real server.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, PgPool};
use stormglass_machine::outside;

use crate::shop::{Said, Shop, start, wait};

pub(crate) fn code(error: &sqlx::Error) -> String {
    let database = error.as_database_error();
    database.map_or_else(
        || format!("{error}"),
        |own| own.code().unwrap_or_default().into_owned(),
    )
}

async fn connect() -> PgConnection {
    PgConnection::connect("postgres://shop@shop/shop")
        .await
        .unwrap()
}

async fn execute(connection: &mut PgConnection, sql: &'static str) -> String {
    match sqlx::query(sql).execute(connection).await {
        Ok(done) => done.rows_affected().to_string(),
        Err(error) => code(&error),
    }
}

const TAKE_TEA: &str = "UPDATE stock SET left_over = left_over - 1 WHERE sku = 'tea'";
const TAKE_COFFEE: &str = "UPDATE stock SET left_over = left_over - 1 WHERE sku = 'coffee'";

/// Holds the lock of the tea for so long.
async fn hold(time: Duration) {
    let mut connection = connect().await;
    let mut transaction = connection.begin().await.unwrap();
    execute(&mut transaction, TAKE_TEA).await;
    tokio::time::sleep(time).await;
    transaction.commit().await.unwrap();
}

#[test]
fn a_lock_is_waited_for_in_virtual_time() {
    let began = Instant::now();
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("first", &[], || hold(Duration::from_secs(3600)));
        machine.start_service("second", &[], move || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let began = Instant::now();
            let mut connection = connect().await;
            said.say(execute(&mut connection, TAKE_TEA).await);
            said.say(began.elapsed().as_secs());
        });
        wait(machine, &["first", "second"]);
    });
    assert_eq!(heard.all(), ["1", "3599"]);
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// Both want what the other one has; who finds out first gives in.
async fn embrace(said: Said, name: &'static str, first: &'static str, second: &'static str) {
    let mut connection = connect().await;
    let mut transaction = connection.begin().await.unwrap();
    execute(&mut transaction, first).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let done = sqlx::query(second).execute(&mut *transaction).await;
    let took = began.elapsed().as_millis();
    match done {
        Ok(_) => {
            transaction.commit().await.unwrap();
            said.say(format!("{name} commits after {took} ms"));
        }
        Err(error) => {
            let error = error.into_database_error().unwrap();
            let error = error.downcast::<sqlx::postgres::PgDatabaseError>();
            said.say(format!(
                "{name} fails after {took} ms: {} {}",
                error.code(),
                error.detail().unwrap()
            ));
            drop(transaction);
        }
    }
}

fn embraces(seed: u8) -> Vec<String> {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(seed).run(move |machine, _| {
        let own = said.clone();
        machine.start_service("one", &[], || embrace(own, "one", TAKE_TEA, TAKE_COFFEE));
        machine.start_service("two", &[], || embrace(said, "two", TAKE_COFFEE, TAKE_TEA));
        wait(machine, &["one", "two"]);
    });
    heard.all()
}

#[test]
fn a_deadlock_is_found_after_a_second() {
    let said = embraces(1);
    assert_eq!(said.len(), 2, "{said:?}");
    // The server's own second, and what batches and packets take.
    assert!(
        said[0].contains("fails after 10") && said[0].contains("40P01"),
        "{said:?}"
    );
    assert!(said[0].contains("Process 10"), "{said:?}");
    assert!(said[0].contains("transaction ?"), "{said:?}");
    assert!(said[1].contains("commits after"), "{said:?}");
    assert_eq!(said, embraces(1));
}

#[test]
fn who_does_not_want_to_wait_does_not() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("first", &[], || hold(Duration::from_secs(10)));
        machine.start_service("second", &[], move || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut connection = connect().await;
            let began = Instant::now();
            said.say(
                execute(
                    &mut connection,
                    "SELECT * FROM stock WHERE sku = 'tea' FOR UPDATE NOWAIT",
                )
                .await,
            );
            said.say(
                execute(
                    &mut connection,
                    "SELECT * FROM stock FOR UPDATE SKIP LOCKED",
                )
                .await,
            );
            assert!(began.elapsed() < Duration::from_millis(100));
            execute(&mut connection, "SET lock_timeout = '2s'").await;
            let began = Instant::now();
            said.say(execute(&mut connection, TAKE_TEA).await);
            said.say(began.elapsed().as_secs_f64().round());
            let mut transaction = connection.begin().await.unwrap();
            execute(&mut transaction, "SET LOCAL lock_timeout = '300ms'").await;
            let began = Instant::now();
            said.say(execute(&mut transaction, TAKE_TEA).await);
            said.say((began.elapsed().as_secs_f64() * 10.0).round());
            said.say(execute(&mut transaction, TAKE_COFFEE).await);
        });
        wait(machine, &["first", "second"]);
    });
    assert_eq!(
        heard.all(),
        ["55P03", "1", "55P03", "2", "55P03", "3", "25P02"]
    );
}

#[test]
fn advisory_locks_are_waited_for_as_well() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("first", &[], || async {
            let mut connection = connect().await;
            execute(&mut connection, "SELECT pg_advisory_lock(7)").await;
            tokio::time::sleep(Duration::from_secs(100)).await;
        });
        machine.start_service("second", &[], move || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut connection = connect().await;
            let tried: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(7)")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            said.say(tried);
            let began = Instant::now();
            execute(&mut connection, "SELECT pg_advisory_xact_lock(7)").await;
            said.say(began.elapsed().as_secs());
        });
        wait(machine, &["first", "second"]);
    });
    assert_eq!(heard.all(), ["false", "99"]);
}

/// Twenty wait for one, and get what they want at the same moment.
async fn crowd(pool: PgPool, said: Said, host: u32) {
    let one = async |number: u32| {
        tokio::time::sleep(Duration::from_millis(u64::from(20 * host + 5 * number))).await;
        let id: i64 = sqlx::query_scalar(
            "WITH own AS (SELECT sku FROM stock WHERE sku = 'tea' FOR SHARE)
             INSERT INTO orders (sku) SELECT sku FROM own RETURNING id",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        said.say(format!("{host} {number} {id}"));
    };
    tokio::join!(one(0), one(1), one(2), one(3), one(4));
}

fn crowds(seed: u8) -> Vec<String> {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(seed).run(move |machine, _| {
        machine.start_service("first", &[], || hold(Duration::from_secs(5)));
        machine.sleep(Duration::from_millis(100));
        for (host, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let said = said.clone();
            start(machine, name, move |pool| crowd(pool, said, host as u32));
        }
        wait(machine, &["a", "b", "c", "d"]);
    });
    heard.all()
}

#[test]
fn those_that_are_let_go_at_once_go_one_after_the_other() {
    let said = crowds(1);
    assert_eq!(said.len(), 20);
    for _ in 0..4 {
        assert_eq!(said, crowds(1));
    }
}

#[test]
fn a_wait_sees_what_was_committed_meanwhile() {
    // READ COMMITTED looks at the row again that it has waited for, and at no other one.
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("first", &[], || async {
            let mut connection = connect().await;
            let mut transaction = connection.begin().await.unwrap();
            execute(&mut transaction, TAKE_TEA).await;
            execute(&mut transaction, "INSERT INTO stock VALUES ('milk', 100)").await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            transaction.commit().await.unwrap();
        });
        machine.start_service("second", &[], move || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut connection = connect().await;
            said.say(
                execute(
                    &mut connection,
                    "UPDATE stock SET left_over = 0 WHERE left_over = 100",
                )
                .await,
            );
            said.say(
                execute(
                    &mut connection,
                    "UPDATE stock SET left_over = 0 WHERE left_over = 100",
                )
                .await,
            );
        });
        wait(machine, &["first", "second"]);
    });
    // The tea does not match any more, the coffee does; the milk is only seen by the next statement.
    assert_eq!(heard.all(), ["1", "1"]);
}

#[test]
fn who_reads_repeatably_fails_when_it_has_waited() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("first", &[], || hold(Duration::from_secs(5)));
        machine.start_service("second", &[], move || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut connection = connect().await;
            execute(&mut connection, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
            said.say(execute(&mut connection, "SELECT * FROM stock").await);
            said.say(execute(&mut connection, TAKE_TEA).await);
            said.say(execute(&mut connection, "COMMIT").await);
        });
        wait(machine, &["first", "second"]);
    });
    assert_eq!(heard.all(), ["2", "40001", "0"]);
}

#[test]
fn a_client_that_is_killed_leaves_no_lock() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("first", &[], || hold(Duration::from_secs(3600)));
        machine.start_service("waiter", &[], || async {
            let mut connection = connect().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut transaction = connection.begin().await.unwrap();
            execute(&mut transaction, TAKE_COFFEE).await;
            execute(&mut transaction, TAKE_TEA).await;
        });
        machine.start_service("second", &[], move || async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let began = Instant::now();
            let mut connection = connect().await;
            said.say(execute(&mut connection, TAKE_TEA).await);
            said.say(began.elapsed().as_secs());
            said.say(execute(&mut connection, TAKE_COFFEE).await);
            let left: i64 = sqlx::query_scalar("SELECT sum(left_over)::bigint FROM stock")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            said.say(left);
        });
        machine.sleep(Duration::from_secs(10));
        // As a real server, ours does not notice before it has something to say to the client.
        machine.kill("waiter");
        machine.sleep(Duration::from_secs(10));
        machine.kill("first");
        wait(machine, &["second"]);
    });
    assert_eq!(heard.all(), ["1", "18", "1", "198"]);
}

#[test]
fn what_is_outside_is_real() {
    // The machine's threads have their own clocks; this is why a run of an hour is over at once.
    let real = outside(Instant::now);
    Shop::new(1).run(|machine, _| machine.sleep(Duration::from_secs(100)));
    assert!(real.elapsed() < Duration::from_secs(60));
}
