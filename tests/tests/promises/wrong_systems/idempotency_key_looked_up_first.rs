//! An idempotency key that is looked up, and written only with the answer.
//!
//! Reported as jcagarcia/grape-idempotency#10 and mastodon/mastodon#37879: a second request under the same key that
//! comes while the first is under way is carried out as well. Clients press the button twice here.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::Convergence;
use stormglass::database::Database;
use stormglass::plan::Load;
use stormglass::{Machine, System};

use super::{Calm, NoRows, Outcome, found};
use crate::pool;
use crate::web;

const SCHEMA: &str = "
    CREATE TABLE keys (key TEXT PRIMARY KEY);
    CREATE TABLE orders (number INTEGER PRIMARY KEY, key TEXT NOT NULL, article TEXT NOT NULL);";

async fn api(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let router = Router::new()
        .route("/orders/{key}", post(order))
        .with_state(shop);
    web::serve(router).await?;
    Ok(())
}

async fn order(
    State(shop): State<SqlitePool>,
    Path(key): Path<String>,
    Json(article): Json<String>,
) -> StatusCode {
    match place(&shop, &key, &article).await {
        Ok(()) => StatusCode::CREATED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn place(shop: &SqlitePool, key: &str, article: &str) -> sqlx::Result<()> {
    let known = sqlx::query("SELECT 1 FROM keys WHERE key = $1")
        .bind(key)
        .fetch_optional(shop)
        .await?;
    if known.is_some() {
        return Ok(());
    }
    let mut transaction = shop.begin().await?;
    sqlx::query("INSERT INTO orders (key, article) VALUES ($1, $2)")
        .bind(key)
        .bind(article)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO keys VALUES ($1)")
        .bind(key)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn press_twice((number, article): (u32, String)) -> Result<u16, reqwest::Error> {
    let url = format!("http://api/orders/key-{number}");
    let press = || web::post(&url, &article);
    let (first, second) = tokio::join!(press(), press());
    Ok(first.or(second)?.status)
}

#[test]
fn an_idempotency_key_that_is_looked_up_first_is_found() {
    let twice = "SELECT key FROM orders GROUP BY key HAVING count(*) > 1";
    let system = System::new("idempotency key looked up first")
        .database(Database::new("shop", SCHEMA).view("twice", twice))
        .host("api", api)
        .operations(|| (any::<u32>(), "[a-c]"), press_twice)
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 3_000,
            ..Load::default()
        })
        .property(NoRows {
            id: "one-order-per-key",
            promise: "requests under one key place one order",
            view: "twice",
        })
        .property(Convergence);
    found(&system, Calm::MayBreak, "one-order-per-key");
}
