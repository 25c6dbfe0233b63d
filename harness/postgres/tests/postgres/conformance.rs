//! The same programs see the same on a simulated server and directly on the real one.

use std::future::Future;

use sqlx::postgres::{PgPoolCopyExt, PgPoolOptions};
use sqlx::{Column, Executor, PgPool, Row, TypeInfo};
use stormglass_machine::run;
use stormglass_postgres::{Cluster, Server, Settings};
use tokio_postgres::{Client, Config, NoTls};

use crate::shop::{SCHEMA, Said, serve, wait};

/// Where a program finds the server.
#[derive(Clone)]
struct Where {
    url: String,
    config: Config,
}

/// Runs a program on a simulated server and on the real one.
fn check<F: Future<Output = ()> + 'static>(program: fn(Where, Said) -> F) {
    let cluster = Cluster::take().unwrap();
    let direct = Said::default();
    let database = cluster.database("shop", SCHEMA).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let url = database.url();
    let folder = url.rsplit('=').next().unwrap().replace("%2F", "/");
    let mut config = Config::new();
    config.host_path(folder).user("postgres").dbname("shop");
    runtime.block_on(program(Where { url, config }, direct.clone()));
    drop(runtime);
    drop(database);
    let database = cluster.database("shop", SCHEMA).unwrap();
    let simulated = Said::default();
    let said = simulated.clone();
    run(stormglass_machine::Settings::of([1; 32]), move |machine| {
        let server = Server::new([database], Settings::default(), std::sync::Arc::new(()));
        serve(machine, &server);
        machine.start_service("client", &[], move || async move {
            let mut config = Config::new();
            config.host("shop").user("postgres").dbname("shop");
            let url = "postgres://postgres@shop/shop".to_owned();
            program(Where { url, config }, said).await;
        });
        wait(machine, &["client"]);
    })
    .unwrap();
    assert!(!direct.all().is_empty());
    for (one, other) in direct.all().iter().zip(simulated.all()) {
        assert_eq!(*one, other);
    }
    assert_eq!(direct.all().len(), simulated.all().len());
}

async fn pool(place: &Where) -> PgPool {
    PgPoolOptions::new()
        .max_connections(3)
        .connect(&place.url)
        .await
        .unwrap()
}

async fn client(place: &Where) -> Client {
    let (client, connection) = place.config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT sku, left_over FROM stock ORDER BY sku",
    "INSERT INTO orders (sku, body) VALUES ('tea', '{\"a\": [1, 2]}') RETURNING id, body",
    "INSERT INTO stock VALUES ('tea', 1)",
    "INSERT INTO stock VALUES ('milk', -1)",
    "INSERT INTO stock VALUES (NULL, 1)",
    "SELECT * FROM nowhere",
    "SELECT 1 / 0",
    "SELEC 1",
    "UPDATE stock SET left_over = left_over - 1",
    "DELETE FROM stock WHERE sku = 'coffee' RETURNING left_over",
    "SELECT 'long' || repeat('x', 100000)",
    "SELECT generate_series(1, 1000)",
    "",
    "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE moods (mood mood); INSERT INTO moods VALUES ('good')",
    "SELECT mood FROM moods",
    "BEGIN; INSERT INTO stock VALUES ('water', 1); ROLLBACK; SELECT count(*) FROM stock",
    "BEGIN; INSERT INTO stock VALUES ('water', 1); COMMIT; SELECT count(*) FROM stock",
    "INSERT INTO stock VALUES ('wine', 1); SELECT 1 / 0; SELECT 2",
    "SELECT count(*) FROM stock",
    "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'P0042', HINT = 'a hint', DETAIL = 'a detail'; END $$",
    "SET TIME ZONE 'Europe/Berlin'; SHOW TIME ZONE",
    "SELECT id, sku FROM orders WHERE id = 1 FOR UPDATE NOWAIT",
    "EXPLAIN (COSTS OFF) SELECT * FROM orders WHERE id = 1",
    "VALUES (1, 'a'), (2, NULL)",
    "COMMIT",
    "SAVEPOINT a",
];

#[test]
fn statements_by_sqlx() {
    check(|place, said| async move {
        let pool = pool(&place).await;
        for sql in STATEMENTS {
            for is_raw in [true, false] {
                let rows = match is_raw {
                    true => pool.fetch_all(sqlx::raw_sql(*sql)).await,
                    false => pool.fetch_all(sqlx::query(*sql)).await,
                };
                match rows {
                    Ok(rows) => {
                        let mut lines = rows.iter().map(|row| {
                            let columns = row.columns().iter();
                            let columns = columns.map(|own| {
                                (own.name().to_owned(), own.type_info().name().to_owned())
                            });
                            let text = row.try_get_unchecked::<String, _>(0).map_err(|_| ());
                            let number = row.try_get::<i64, _>(0).map_err(|_| ());
                            format!(
                                "{:?} {number:?} {}",
                                columns.collect::<Vec<_>>(),
                                is_raw && text.is_ok()
                            )
                        });
                        said.say(format!("{sql}: {} {:?}", rows.len(), lines.next()));
                    }
                    Err(error) => said.say(format!("{sql}: {error:?}")),
                }
            }
        }
    });
}

#[test]
fn transactions_by_sqlx() {
    check(|place, said| async move {
        let pool = pool(&place).await;
        let mut transaction = pool.begin().await.unwrap();
        let id: i64 = sqlx::query_scalar("INSERT INTO orders (sku) VALUES ($1) RETURNING id")
            .bind("tea")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        said.say(id);
        let mut inner = sqlx::Acquire::begin(&mut *transaction).await.unwrap();
        sqlx::query("INSERT INTO stock VALUES ('tea', 1)")
            .execute(&mut *inner)
            .await
            .unwrap_err();
        inner.rollback().await.unwrap();
        sqlx::query("INSERT INTO stock VALUES ('milk', 1)")
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        drop(pool.begin().await.unwrap());
        let all: Vec<(String, i64)> = sqlx::query_as("SELECT sku, left_over FROM stock ORDER BY 1")
            .fetch_all(&pool)
            .await
            .unwrap();
        said.say(format!("{all:?}"));
        let many: Vec<i64> = (0..5000).collect();
        let sum: i64 =
            sqlx::query_scalar("SELECT sum(v)::bigint FROM unnest($1::bigint[]) AS own (v)")
                .bind(&many)
                .fetch_one(&pool)
                .await
                .unwrap();
        said.say(sum);
    });
}

#[test]
fn copies_by_sqlx() {
    use futures_lite::StreamExt;
    check(|place, said| async move {
        let pool = pool(&place).await;
        let copy = "COPY stock FROM STDIN";
        let mut sink = pool.copy_in_raw(copy).await.unwrap();
        for number in 0..2000 {
            sink.send(format!("sku {number}\t{number}\n").into_bytes())
                .await
                .unwrap();
        }
        said.say(sink.finish().await.unwrap());
        let mut sink = pool.copy_in_raw(copy).await.unwrap();
        sink.send("a\t1\nb\tx\n".as_bytes()).await.unwrap();
        said.say(format!("{:?}", sink.finish().await));
        let mut sink = pool.copy_in_raw(copy).await.unwrap();
        sink.send("a\t1\n".as_bytes()).await.unwrap();
        said.say(format!("{:?}", sink.abort("enough").await));
        said.say(format!(
            "{:?}",
            pool.copy_in_raw("COPY nowhere FROM STDIN")
                .await
                .map(|_| ())
        ));
        let out = "COPY (SELECT * FROM stock ORDER BY left_over, sku) TO STDOUT";
        let mut stream = pool.copy_out_raw(out).await.unwrap();
        let (mut bytes, mut last) = (0, Vec::new());
        while let Some(chunk) = stream.next().await {
            last = chunk.unwrap().to_vec();
            bytes += last.len();
        }
        said.say(format!("{bytes} {:?}", String::from_utf8(last)));
        drop(stream);
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM stock")
            .fetch_one(&pool)
            .await
            .unwrap();
        said.say(count);
    });
}

#[test]
fn migrations_by_sqlx() {
    use sqlx::migrate::{Migration, MigrationType, Migrator};
    check(|place, said| async move {
        let pool = pool(&place).await;
        let migration = |version: i64, sql: &'static str| {
            let kind = MigrationType::Simple;
            Migration::new(
                version,
                "some".into(),
                kind,
                sqlx::SqlStr::from_static(sql),
                false,
            )
        };
        let migrator = Migrator::with_migrations(vec![
            migration(
                1,
                "CREATE TABLE notes (id bigserial PRIMARY KEY, text text); CREATE INDEX ON notes (text)",
            ),
            migration(
                2,
                "ALTER TABLE notes ADD COLUMN at timestamptz DEFAULT now()",
            ),
        ]);
        for _ in 0..2 {
            migrator.run(&pool).await.unwrap();
        }
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'notes' ORDER BY 1",
        ).fetch_all(&pool).await.unwrap();
        said.say(format!("{columns:?}"));
    });
}

#[test]
fn all_sorts_by_tokio_postgres() {
    use futures_lite::StreamExt;
    check(|place, said| async move {
        let mut client = client(&place).await;
        for sql in STATEMENTS {
            match client.simple_query(sql).await {
                Ok(messages) => said.say(format!("{sql}: {messages:?}")),
                Err(error) => said.say(format!("{sql}: {error:?}")),
            }
        }
        let statement = client
            .prepare("SELECT $1::int8 + left_over FROM stock ORDER BY sku")
            .await
            .unwrap();
        said.say(format!("{:?}", statement.params()));
        let row = client.query(&statement, &[&5_i64]).await.unwrap();
        said.say(row[0].get::<_, i64>(0));
        // Three at once, of which the second one fails.
        let (one, two, three) = tokio::join!(
            client.query_one("SELECT 1::int8", &[]),
            client.query_one("SELECT 1 / 0", &[]),
            client.query_one("SELECT 3::int8", &[]),
        );
        said.say(format!(
            "{} {:?} {}",
            one.unwrap().get::<_, i64>(0),
            two.map(|_| ()),
            three.unwrap().get::<_, i64>(0)
        ));
        // A portal, of which some rows are read at a time.
        let transaction = client.transaction().await.unwrap();
        let portal = transaction
            .bind("SELECT generate_series(1, 10)::int8", &[])
            .await
            .unwrap();
        for _ in 0..4 {
            let rows = transaction.query_portal(&portal, 4).await.unwrap();
            said.say(rows.len());
        }
        transaction.commit().await.unwrap();
        let sink = client.copy_in("COPY stock FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        use futures_util::SinkExt;
        sink.send(bytes::Bytes::from_static(b"gin\t1\n"))
            .await
            .unwrap();
        said.say(sink.finish().await.unwrap());
        let sink = client
            .copy_in::<_, bytes::Bytes>("COPY stock FROM STDIN")
            .await
            .unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::from_static(b"gin\t1\n"))
            .await
            .unwrap();
        said.say(format!("{:?}", sink.finish().await));
        let stream = client
            .copy_out("COPY (SELECT sku FROM stock ORDER BY 1) TO STDOUT")
            .await
            .unwrap();
        let mut stream = std::pin::pin!(stream);
        while let Some(chunk) = stream.next().await {
            said.say(format!("{:?}", chunk.unwrap()));
        }
        said.say(
            client
                .query_one("SELECT count(*) FROM stock", &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
        );
    });
}
