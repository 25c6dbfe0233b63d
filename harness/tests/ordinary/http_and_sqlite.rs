//! A guest book over HTTP and SQLite: the smallest system of ordinary services.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::System;
use stormglass::checker::EffectOnce;
use stormglass::database::{Database, Probe};

const SCHEMA: &str = "CREATE TABLE visits (id INTEGER PRIMARY KEY, visitor TEXT NOT NULL)";

/// The service, which takes a visit for new whenever it is told of one.
async fn guest_book(database: String) -> Result<(), Box<dyn std::error::Error>> {
    let pool = SqlitePool::connect(&database).await?;
    let routes = axum::Router::new().route("/visits/{visitor}", post(visit));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
    Ok(axum::serve(listener, routes.with_state(pool)).await?)
}

async fn visit(State(pool): State<SqlitePool>, Path(visitor): Path<String>) -> StatusCode {
    let insert = sqlx::query("INSERT INTO visits (visitor) VALUES ($1)").bind(visitor);
    match insert.execute(&pool).await {
        Ok(_) => StatusCode::CREATED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A client that asks again until it is heard.
async fn sign(visitor: u32) -> Result<(), reqwest::Error> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(1))
        .build()?;
    let visit = || {
        client
            .post(format!("http://guest-book/visits/{visitor}"))
            .send()
    };
    for _ in 0..3 {
        if visit()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    visit().await.map(drop)
}

pub(crate) fn system() -> System {
    let visits = "SELECT id AS position, visitor AS event_id, visitor AS entity FROM visits \
                  WHERE id > $1 ORDER BY id";
    System::new("guest book")
        .sqlite(Database::new("visits", SCHEMA).probe(Probe::applied(visits).by("guest-book")))
        .host("guest-book", |machine| async move {
            guest_book(machine.url("visits").to_owned()).await
        })
        .operations(any::<u32>, sign)
        .property(EffectOnce)
}

#[test]
fn a_visit_that_is_asked_for_again_is_found_to_count_twice() {
    let found = system().try_check().unwrap_err().to_string();
    assert!(found.contains("guest-book applied event"), "{found}");
}
