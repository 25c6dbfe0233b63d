//! The witness: what it is told, and the faults that it decides on.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, PgPool};
use stormglass_postgres::{Batch, Commit, Failure, Fate, Kind, Observer, Session, Undone, Witness};

use crate::locks::code;
use crate::shop::{SCHEMA, Said, Shop, start, wait};

/// Writes everything down, and hands out fates in their order to batches that have a statement of this kind.
struct Scribe {
    said: Said,
    observer: Observer,
    kind: Kind,
    fates: Mutex<VecDeque<Fate>>,
}

impl Scribe {
    fn of(shop: &mut Shop, kind: Kind, fates: impl IntoIterator<Item = Fate>) -> Said {
        let said = Said::default();
        shop.witness = Arc::new(Scribe {
            said: said.clone(),
            observer: shop.database.observer().unwrap(),
            kind,
            fates: Mutex::new(fates.into_iter().collect()),
        });
        said
    }
}

impl Witness for Scribe {
    fn opened(&self, session: &Session) {
        assert_eq!((&*session.database, &*session.user), ("shop", "shop"));
        self.said.say(format!("{} opens", session.process));
    }

    fn refused(&self, _client: SocketAddr, failure: &Failure) {
        self.said.say(format!("refused: {}", failure.message));
    }

    fn closed(&self, session: &Session) {
        self.said.say(format!("{} closes", session.process));
    }

    fn fate(&self, session: &Session, batch: Batch<'_>) -> Fate {
        let kinds: Vec<_> = batch.statements.iter().map(|own| own.kind).collect();
        let commits = if batch.commits() { " commits" } else { "" };
        self.said
            .say(format!("{} {kinds:?}{commits}", session.process));
        match kinds.contains(&self.kind) {
            true => self.fates.lock().unwrap().pop_front().unwrap_or_default(),
            false => Fate::Proceed,
        }
    }

    fn committed(&self, session: &Session, commit: Commit<'_>) {
        let sql = "SELECT count(*), max(at) <= now() FROM orders WHERE sku <> $1";
        let rows = self.observer.query(sql, &["milk"]).unwrap();
        let count = commit.statements.len();
        self.said
            .say(format!("{} committed {count}: {rows:?}", session.process));
    }

    fn rolled_back(&self, session: &Session, why: Undone) {
        self.said.say(format!("{} undone {why:?}", session.process));
    }

    fn failed(&self, session: &Session, failure: &Failure) {
        self.said
            .say(format!("{} failed {}", session.process, failure.code));
    }

    fn wait_began(&self, session: &Session) {
        self.said.say(format!("{} waits", session.process));
    }

    fn wait_ended(&self, session: &Session) {
        self.said
            .say(format!("{} waits no longer", session.process));
    }
}

const INSERT: &str = "INSERT INTO orders (sku) VALUES ('tea')";

async fn connect() -> PgConnection {
    PgConnection::connect("postgres://shop@shop/shop")
        .await
        .unwrap()
}

#[test]
fn the_witness_knows_what_was_written() {
    let function = "CREATE FUNCTION place() RETURNS bigint LANGUAGE sql AS
        $$ INSERT INTO orders (sku) VALUES ('tea') RETURNING id $$;
        CREATE FUNCTION look() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM orders $$;";
    let mut shop = Shop::with_schema(1, &[SCHEMA, function].concat());
    let said = Scribe::of(&mut shop, Kind::Other, []);
    shop.run(|machine, _| {
        machine.start_service("client", &[], || async {
            let mut connection = connect().await;
            let statements = [
                "SELECT * FROM orders",
                INSERT,
                "BEGIN",
                INSERT,
                "SELECT 1",
                "COMMIT",
                "SELECT place()",
                "SELECT look()",
                "WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT * FROM gone",
                "UPDATE orders SET sku = 'tea' WHERE id = 1000",
                "BEGIN",
                INSERT,
                "ROLLBACK",
                "BEGIN",
                "SELECT place()",
                "COMMIT",
                "SELECT 1 / 0",
                "BEGIN",
                "SELECT 1 / 0",
                "COMMIT",
                "CREATE TABLE others ()",
            ];
            for sql in statements {
                let _ = sqlx::raw_sql(sql).execute(&mut connection).await;
            }
            let both = "INSERT INTO orders (sku) VALUES ('milk'); SELECT 1";
            sqlx::raw_sql(both).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
        wait(machine, &["client"]);
        machine.sleep(Duration::from_secs(1));
    });
    let said = said.all();
    let told: Vec<&str> = said
        .iter()
        .map(|own| own.strip_prefix("101 ").unwrap())
        .collect();
    let committed = |statements: u32, rows: u32| {
        format!("committed {statements}: [[Some(\"{rows}\"), Some(\"t\")]]")
    };
    let expected = [
        "opens".to_owned(),
        "[Read]".to_owned(),
        "[Write] commits".to_owned(),
        committed(1, 1),
        "[Begin]".to_owned(),
        "[Write]".to_owned(),
        "[Read]".to_owned(),
        "[Commit] commits".to_owned(),
        committed(4, 2),
        "[Read]".to_owned(),
        committed(1, 3),
        "[Read]".to_owned(),
        "[Write] commits".to_owned(),
        committed(1, 2),
        "[Write] commits".to_owned(),
        "[Begin]".to_owned(),
        "[Write]".to_owned(),
        "[Rollback]".to_owned(),
        "undone ByOwner".to_owned(),
        "[Begin]".to_owned(),
        "[Read]".to_owned(),
        "[Commit] commits".to_owned(),
        committed(3, 3),
        "[Read]".to_owned(),
        "failed 22012".to_owned(),
        "[Begin]".to_owned(),
        "[Read]".to_owned(),
        "failed 22012".to_owned(),
        "[Commit] commits".to_owned(),
        "undone ByError".to_owned(),
        "[Schema] commits".to_owned(),
        committed(1, 3),
        "[Write, Read] commits".to_owned(),
        committed(2, 3),
        "closes".to_owned(),
    ];
    assert_eq!(told, expected);
}

/// What a client meets that writes one order in a transaction, when its batches of this kind have this fate;
/// how long it takes; and how many orders there are in the end.
fn check(kind: Kind, fate: Fate, met: &str, ms: std::ops::Range<u128>, orders: i64) -> Vec<String> {
    let mut shop = Shop::new(1);
    let told = Scribe::of(&mut shop, kind, [fate.clone()]);
    let said = Said::default();
    let heard = said.clone();
    shop.run(move |machine, _| {
        machine.start_service("client", &[], move || async move {
            let mut connection = connect().await;
            sqlx::query(INSERT)
                .persistent(false)
                .fetch_optional(&mut connection)
                .await
                .ok();
            sqlx::query("DELETE FROM orders")
                .execute(&mut connection)
                .await
                .ok();
            let began = Instant::now();
            let done = write(&mut connection).await;
            let what = done.map_or_else(|error| code(&error), |()| "done".to_owned());
            let what = if what.contains("EOF") || what.contains("reset") {
                "cut".to_owned()
            } else {
                what
            };
            said.say(what);
            said.say(began.elapsed().as_millis());
            drop(connection);
            let pool = PgPool::connect("postgres://shop@shop/shop").await.unwrap();
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
                .fetch_one(&pool)
                .await
                .unwrap();
            said.say(count);
        });
        wait(machine, &["client"]);
    });
    let heard = heard.all();
    let took: u128 = heard[1].parse().unwrap();
    assert_eq!(
        (&*heard[0], &*heard[2]),
        (met, &*orders.to_string()),
        "{fate:?} of {kind:?}"
    );
    assert!(ms.contains(&took), "{fate:?} of {kind:?} took {took} ms");
    told.all()
}

async fn write(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("LOCK orders")
        .execute(&mut *transaction)
        .await?;
    sqlx::query(INSERT).execute(&mut *transaction).await?;
    transaction.commit().await
}

#[test]
fn a_batch_may_be_late() {
    let late = Duration::from_secs(2);
    check(Kind::Commit, Fate::Proceed, "done", 0..100, 1);
    check(
        Kind::Commit,
        Fate::ProceedAfter(late),
        "done",
        2000..2100,
        1,
    );
    check(Kind::Commit, Fate::AnswerAfter(late), "done", 2000..2100, 1);
    check(Kind::Other, Fate::ProceedAfter(late), "done", 2000..2100, 1);
}

#[test]
fn a_batch_may_fail_without_effect() {
    let told = check(
        Kind::Commit,
        Fate::Fail(Failure::serialization()),
        "40001",
        0..100,
        0,
    );
    assert!(told.contains(&"101 failed 40001".to_owned()), "{told:?}");
    assert!(told.iter().any(|own| own.contains("undone")), "{told:?}");
    check(
        Kind::Other,
        Fate::Fail(Failure::deadlock()),
        "40P01",
        0..100,
        0,
    );
    check(
        Kind::Other,
        Fate::Fail(Failure::disk_full()),
        "53100",
        0..100,
        0,
    );
    check(
        Kind::Begin,
        Fate::Fail(Failure::disk_full()),
        "53100",
        0..100,
        0,
    );
    check(
        Kind::Commit,
        Fate::Fail(Failure::shutdown()),
        "57P01",
        0..100,
        0,
    );
}

#[test]
fn a_connection_may_be_cut_before_or_after_the_effect() {
    check(Kind::Commit, Fate::CutBefore, "cut", 0..100, 0);
    let told = check(Kind::Commit, Fate::CutAfter, "cut", 0..100, 1);
    let commits = told.iter().filter(|own| own.starts_with("101 committed"));
    assert_eq!(commits.count(), 3, "{told:?}");
    check(Kind::Other, Fate::CutAfter, "cut", 0..100, 0);
}

#[test]
fn a_batch_may_never_arrive() {
    let mut shop = Shop::new(1);
    let told = Scribe::of(&mut shop, Kind::Commit, [Fate::Lose]);
    let said = Said::default();
    let heard = said.clone();
    shop.run(move |machine, _| {
        machine.start_service("client", &[], move || async move {
            let mut connection = connect().await;
            let limit = Duration::from_secs(5);
            let done = tokio::time::timeout(limit, write(&mut connection)).await;
            said.say(done.is_ok());
            drop(connection);
        });
        wait(machine, &["client"]);
        machine.sleep(Duration::from_secs(1));
    });
    assert_eq!(heard.all(), ["false"]);
    let told = told.all();
    let undone: Vec<_> = told
        .iter()
        .skip_while(|own| !own.contains("undone"))
        .collect();
    assert_eq!(undone, ["101 undone ByEnd", "101 closes"], "{told:?}");
}

/// Refuses everybody.
struct Porter;

impl Witness for Porter {
    fn refuses(&self, _client: SocketAddr) -> Option<Failure> {
        Some(Failure::too_many_connections())
    }
}

#[test]
fn a_client_may_be_refused() {
    let mut shop = Shop::new(1);
    shop.witness = Arc::new(Porter);
    let said = Said::default();
    let heard = said.clone();
    shop.run(move |machine, _| {
        machine.start_service("client", &[], move || async move {
            let refused = PgConnection::connect("postgres://shop@shop/shop").await;
            said.say(code(&refused.unwrap_err()));
        });
        wait(machine, &["client"]);
    });
    assert_eq!(heard.all(), ["53300"]);
}

#[test]
fn a_transaction_that_was_made_to_fail_can_only_be_rolled_back() {
    let mut shop = Shop::new(1);
    let told = Scribe::of(
        &mut shop,
        Kind::Other,
        [Fate::Fail(Failure::serialization())],
    );
    let said = Said::default();
    let heard = said.clone();
    shop.run(move |machine, _| {
        machine.start_service("client", &[], move || async move {
            let mut connection = connect().await;
            let mut run = async |sql: &'static str| {
                let done = sqlx::query(sql).execute(&mut connection).await;
                said.say(done.map_or_else(|error| code(&error), |_| "done".to_owned()));
            };
            run("BEGIN").await;
            run("LOCK orders").await;
            run("SELECT 1").await;
            run("ROLLBACK").await;
            // What was prepared for the statement that failed is still there.
            run("BEGIN").await;
            run("LOCK orders").await;
            run("COMMIT").await;
            run("LOCK orders").await;
        });
        wait(machine, &["client"]);
    });
    assert_eq!(
        heard.all(),
        [
            "done", "40001", "25P02", "done", "done", "done", "done", "25P01"
        ]
    );
    assert!(told.all().contains(&"101 undone ByError".to_owned()));
}

#[test]
fn waits_are_told() {
    let mut shop = Shop::new(1);
    let told = Scribe::of(&mut shop, Kind::Other, []);
    shop.run(|machine, _| {
        let hold = |pool: PgPool| async move {
            let mut transaction = pool.begin().await.unwrap();
            sqlx::query("LOCK orders")
                .execute(&mut *transaction)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        start(machine, "one", hold);
        start(machine, "two", hold);
        wait(machine, &["one", "two"]);
    });
    let told = told.all();
    let at = |what: &str| {
        told.iter()
            .position(|own| own.ends_with(what))
            .unwrap_or_else(|| panic!("{what}: {told:#?}"))
    };
    assert!(at(" waits") < at("undone ByEnd"), "{told:#?}");
    assert!(at("undone ByEnd") < at(" waits no longer"), "{told:#?}");
}
