//! How connections come to their end, and a server to its.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use stormglass_postgres::{Server, Shutdown};
use tokio_postgres::{Config, NoTls};

use crate::locks::code;
use crate::shop::{Said, Shop, serve, wait};

const INSERT: &str = "INSERT INTO orders (sku) VALUES ('tea')";

async fn connect() -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect("postgres://shop@shop/shop").await
}

/// Writes an order every tenth of a second, and counts them in the end.
async fn write(said: Said) {
    let mut connection = connect().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let mut failed = None;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match sqlx::query(INSERT).execute(&mut *transaction).await {
            Ok(_) => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(transaction);
    match failed {
        Some(sqlx::Error::Io(_)) => said.say("lost"),
        Some(error) => said.say(code(&error)),
        None => said.say("nothing"),
    }
    let mut refusals = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match connect().await {
            Ok(mut connection) => {
                said.say(format!("back after {refusals} refusals"));
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
                said.say(count);
                return;
            }
            Err(error) => {
                if refusals == 0 && !matches!(error, sqlx::Error::Io(_)) {
                    said.say(code(&error));
                }
                refusals += 1;
            }
        }
    }
}

fn ended(end: fn(&stormglass_machine::Machine, &Server)) -> Vec<String> {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, server| {
        machine.start_service("client", &[], || write(said));
        machine.sleep(Duration::from_secs(1));
        end(machine, server);
        machine.sleep(Duration::from_secs(2));
        machine.kill("shop");
        serve(machine, server);
        wait(machine, &["client"]);
    });
    heard.all()
}

#[test]
fn a_server_that_is_killed_undoes_what_was_not_committed() {
    let said = ended(|machine, _| machine.kill("shop"));
    assert_eq!(said, ["lost", "back after 3 refusals", "0"]);
}

#[test]
fn a_server_that_is_shut_down_says_so() {
    let said = ended(|_, server| server.shut_down(Shutdown::Fast));
    assert_eq!(said, ["57P01", "57P03", "back after 3 refusals", "0"]);
    let said = ended(|_, server| server.shut_down(Shutdown::Crash));
    assert_eq!(said, ["57P02", "57P03", "back after 3 refusals", "0"]);
}

#[test]
fn there_is_room_for_so_many() {
    let said = Said::default();
    let heard = said.clone();
    let mut shop = Shop::new(1);
    shop.settings.connections_max = 3;
    shop.run(move |machine, _| {
        machine.start_service("client", &[], move || async move {
            let mut connections = Vec::new();
            for _ in 0..4 {
                match connect().await {
                    Ok(connection) => connections.push(connection),
                    Err(error) => said.say(code(&error)),
                }
            }
            connections.pop().unwrap().close().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            said.say(connect().await.is_ok());
        });
        wait(machine, &["client"]);
    });
    assert_eq!(heard.all(), ["53300", "true"]);
}

#[test]
fn a_database_that_is_not_there_is_refused() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("client", &[], move || async move {
            let error = PgConnection::connect("postgres://shop@shop/other")
                .await
                .unwrap_err();
            said.say(error);
        });
        wait(machine, &["client"]);
    });
    let said = heard.all();
    assert!(
        said[0].contains("database \"other\" does not exist"),
        "{said:?}"
    );
}

async fn cancelled(said: Said) {
    let mut config = Config::new();
    config.host("shop").user("shop").dbname("shop");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let (other, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    other.batch_execute("BEGIN; LOCK orders").await.unwrap();
    let token = client.cancel_token();
    let cancel = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            token.cancel_query(NoTls).await.unwrap();
        }
    };
    let ask = async {
        for sql in ["SELECT pg_sleep(600)", "DELETE FROM orders"] {
            let began = std::time::Instant::now();
            let error = client.batch_execute(sql).await.unwrap_err();
            let code = error.code().map(|code| code.code().to_owned());
            said.say(format!("{code:?} {}", began.elapsed().as_secs()));
        }
        client.batch_execute("SELECT 1").await.unwrap();
    };
    tokio::join!(cancel, ask);
}

#[test]
fn a_statement_that_waits_can_be_cancelled() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("client", &[], || cancelled(said));
        wait(machine, &["client"]);
    });
    assert_eq!(heard.all(), ["Some(\"57014\") 5", "Some(\"57014\") 5"]);
}
