//! A run sees nothing of an earlier one, although databases and their connections are used again.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use stormglass_postgres::{Cluster, Database, Server, Settings};

use crate::locks::code;
use crate::shop::{Said, Shop, serve, wait};

const SCHEMA: &str = "
    CREATE TABLE goods (id serial PRIMARY KEY, name text NOT NULL);
    INSERT INTO goods (name) SELECT 'good ' || i FROM generate_series(1, 300) AS own (i);
    UPDATE goods SET name = 'better' WHERE id % 3 = 0;
    CREATE TABLE sales (id bigserial PRIMARY KEY, good int NOT NULL REFERENCES goods, at timestamptz DEFAULT now());
    CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sale bigint REFERENCES sales, text text);
    CREATE SEQUENCE tickets START 500;
    SELECT nextval('tickets');
    CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
    CREATE TRIGGER no BEFORE TRUNCATE ON goods EXECUTE FUNCTION no();
";

/// What a client looks at: the rows as they lie there, values of sequences, and what sessions keep.
const QUESTIONS: &[&str] = &[
    "SELECT string_agg(concat(ctid, id, name), ' ') FROM (SELECT ctid, * FROM goods) AS own",
    "INSERT INTO goods (name) VALUES ('new') RETURNING concat(ctid, id)",
    "INSERT INTO sales (good) VALUES (3), (6) RETURNING concat(ctid, id, at)",
    "INSERT INTO notes (sale, text) VALUES (1, 'some') RETURNING concat(ctid, id)",
    "SELECT nextval('tickets')::text",
    "SELECT random()::text",
    "SELECT gen_random_uuid()::text",
    "SELECT coalesce(current_setting('app.customer', true), 'nobody')",
    "SELECT current_setting('search_path')",
    "SELECT pg_try_advisory_xact_lock(7)::text",
    "SELECT count(*)::text FROM pg_listening_channels()",
    "SELECT count(*)::text FROM pg_prepared_statements WHERE statement LIKE '%tickets%'",
    "SELECT count(*)::text FROM pg_replication_slots",
    "SELECT pg_relation_size('goods')::text",
    "SELECT string_agg(concat(name, tableoid::regclass), ' ') FROM (SELECT name, tableoid FROM goods ORDER BY random() LIMIT 5) AS own",
    "EXPLAIN SELECT * FROM goods WHERE id < 10",
    "UPDATE goods SET name = 'changed' WHERE id = 5 RETURNING concat(ctid, id)",
    "DELETE FROM goods WHERE id = 7 RETURNING concat(ctid, id)",
];

/// What spoils a session or a database.
const MESS: &[&str] = &[
    "SET app.customer = 'somebody'",
    "SET search_path = pg_catalog",
    "SELECT pg_advisory_lock(7)",
    "LISTEN everything",
    "SELECT pg_create_logical_replication_slot('own', 'pgoutput')",
    "SELECT setseed(0.5)",
    "DELETE FROM public.notes",
    "DELETE FROM public.sales",
    "DELETE FROM public.goods WHERE id > 10",
    "SELECT nextval('public.tickets') FROM generate_series(1, 100)",
    "PREPARE own AS SELECT nextval('public.tickets')",
    "SELECT lo_from_bytea(77, 'some')",
    "BEGIN",
    "INSERT INTO public.goods (name) SELECT 'many' FROM generate_series(1, 1000)",
    "PREPARE TRANSACTION 'own'",
    "BEGIN",
    "LOCK public.sales",
];

async fn look(said: Said) {
    let mut connection = PgConnection::connect("postgres://shop@shop/shop")
        .await
        .unwrap();
    for question in QUESTIONS {
        let answer: String = sqlx::query_scalar(*question)
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{question}: {error}"));
        said.say(format!("{question}: {answer}"));
    }
}

async fn mess() {
    let mut connections = Vec::new();
    for from in [1, 3, 12] {
        let mut connection = PgConnection::connect("postgres://shop@shop/shop")
            .await
            .unwrap();
        for sql in MESS[..1].iter().chain(&MESS[from..]) {
            // Later ones wait for what the first one has locked, or meet the same name again.
            let done = sqlx::raw_sql(*sql).execute(&mut connection);
            let _ = tokio::time::timeout(Duration::from_secs(1), done).await;
        }
        connections.push(connection);
    }
}

/// A run, and the number of the real database.
fn looked(cluster: &Cluster, mess_too: bool) -> (Vec<String>, String) {
    let database = cluster.database("shop", SCHEMA).unwrap();
    let number = number(&database);
    let said = Said::default();
    let heard = said.clone();
    let settings = stormglass_machine::Settings::of([1; 32]);
    stormglass_machine::run(settings, move |machine| {
        let server = Server::new([database], Settings::default(), std::sync::Arc::new(()));
        serve(machine, &server);
        machine.start_service("looks", &[], || look(said));
        wait(machine, &["looks"]);
        if mess_too {
            machine.start_service("messes", &[], mess);
            machine.sleep(Duration::from_secs(100));
        }
    })
    .unwrap();
    (heard.all(), number)
}

fn number(database: &Database) -> String {
    let sql = "SELECT oid FROM pg_database WHERE datname = current_database()";
    let rows = database.observer().unwrap().query(sql, &[]).unwrap();
    rows.concat().into_iter().flatten().collect()
}

#[test]
fn a_run_leaves_nothing_to_the_next_one() {
    let cluster = Cluster::take().unwrap();
    let (first, number) = looked(&cluster, true);
    assert_eq!(first.len(), QUESTIONS.len());
    for turn in 0..4 {
        let (next, own) = looked(&cluster, turn % 2 == 0);
        assert_eq!(own, number, "the database was not used again");
        for (one, other) in first.iter().zip(&next) {
            assert_eq!(one, other);
        }
    }
    // A new one looks the same.
    drop(cluster.database("shop", "CREATE TABLE others ()").unwrap());
    let (next, own) = looked(&cluster, false);
    assert_ne!(own, number);
    assert_eq!(first, next);
}

#[test]
fn who_changes_the_schema_gets_a_new_database_next_time() {
    let cluster = Cluster::take().unwrap();
    for sql in [
        "CREATE TABLE more ()",
        "DO $$ BEGIN CREATE TABLE more (); END $$",
        "TRUNCATE notes",
    ] {
        let database = cluster.database("shop", SCHEMA).unwrap();
        let old = number(&database);
        database.observer().unwrap().query(sql, &[]).unwrap();
        drop(database);
        let database = cluster.database("shop", SCHEMA).unwrap();
        assert_eq!(
            number(&database) == old,
            sql.starts_with("TRUNCATE"),
            "{sql}"
        );
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'more'";
        let found = database.observer().unwrap().query(tables, &[]).unwrap();
        assert_eq!(found, [[Some("0".to_owned())]]);
    }
}

#[test]
fn a_schema_that_could_change_itself_is_always_made_anew() {
    let cluster = Cluster::take().unwrap();
    let schema = "CREATE FUNCTION grow() RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'CREATE TABLE more ()'; END $$";
    for _ in 0..2 {
        let database = cluster.database("grows", schema).unwrap();
        database
            .observer()
            .unwrap()
            .query("SELECT grow()", &[])
            .unwrap();
    }
}

/// Leaves transactions open, each for so many seconds and so long after the one before, and says what becomes of each.
async fn idles(turns: &[(u64, u64)], said: Said) {
    for (pause, wait) in turns {
        tokio::time::sleep(Duration::from_secs(*pause)).await;
        let options = "postgres://shop@shop/shop".parse::<PgConnectOptions>();
        let limits = [("idle_in_transaction_session_timeout", "5s")];
        let options = options.unwrap().options(limits);
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let mut run = async |sql: &'static str| {
            let done = sqlx::query(sql).execute(&mut connection).await;
            done.map_or_else(|error| code(&error), |_| "done".to_owned())
        };
        run("INSERT INTO orders (sku) VALUES ('tea')").await;
        run("BEGIN").await;
        tokio::time::sleep(Duration::from_secs(*wait)).await;
        said.say(run("SELECT 1").await);
    }
}

#[test]
fn timeouts_are_those_of_a_new_session() {
    let database = Shop::new(1).database;
    // A session of one run has what another one had, at other times.
    let runs: [(&'static [_], _); 3] = [
        (&[(0, 1), (1, 10), (1, 10)], vec!["done", "25P03", "25P03"]),
        (&[(6, 1), (6, 6), (20, 1)], vec!["done", "25P03", "done"]),
        (&[(0, 6), (0, 1), (6, 6)], vec!["25P03", "done", "25P03"]),
    ];
    for (turns, expected) in runs {
        let said = Said::default();
        let heard = said.clone();
        let database = database.clone();
        let shop = Shop {
            database,
            ..Shop::new(1)
        };
        shop.run(move |machine, _| {
            machine.start_service("client", &[], move || idles(turns, said));
            wait(machine, &["client"]);
        });
        assert_eq!(heard.all(), expected, "{turns:?}");
    }
}
