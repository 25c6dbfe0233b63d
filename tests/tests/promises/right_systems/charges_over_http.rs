//! One service that asks another over HTTP, under an idempotency key that both of them keep.
//!
//! `checkout` charges each order of its topic at `payments` and writes a receipt; the key is the order's event id.
//! `payments` writes key and charge in one row, and answers a known key with the charge that it made. A lost answer
//! is asked for again with the next delivery.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use proptest::prelude::*;
use serde_json::json;
use sqlx::SqlitePool;
use stormglass::database::{Database, Probe};
use stormglass::{Broker, EVENT_ID, Group, Machine, Message, Profile, System};

use super::{FEW, Outcome, ask, holds, promising_effects};
use crate::pool;
use crate::web;

const PAYMENTS: &str =
    "CREATE TABLE charges (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);";
const CHECKOUT: &str = "
    CREATE TABLE receipts (id TEXT PRIMARY KEY, cart TEXT NOT NULL, charge INTEGER NOT NULL);";

async fn payments(machine: Machine) -> Outcome {
    let payments = pool::connect(machine.url("payments")).await?;
    let router = Router::new()
        .route("/charges/{key}", post(charge))
        .with_state(payments);
    web::serve(router).await?;
    Ok(())
}

async fn charge(
    State(payments): State<SqlitePool>,
    Path(key): Path<String>,
) -> Result<Json<i64>, StatusCode> {
    let charged = async {
        sqlx::query("INSERT INTO charges (key) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(&key)
            .execute(&payments)
            .await?;
        sqlx::query_as("SELECT number FROM charges WHERE key = $1")
            .bind(&key)
            .fetch_one(&payments)
            .await
    };
    let (number,): (i64,) = charged
        .await
        .map_err(|_: sqlx::Error| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(number))
}

async fn checkout(machine: Machine) -> Outcome {
    let checkout = pool::connect(machine.url("checkout")).await?;
    let mut orders = Broker::connect().subscribe("checkout", &["orders"]).await?;
    loop {
        let order = orders.next().await?;
        let id = order.message().event_id().unwrap_or_default();
        let url = format!("http://payments/charges/{id}");
        let charge = match web::post(&url, &json!({})).await {
            Ok(answer) if answer.status == 200 => answer.body.as_i64(),
            _ => None,
        };
        let Some(charge) = charge else {
            order.retry(Duration::from_millis(400)).await?;
            continue;
        };
        sqlx::query("INSERT INTO receipts VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(id)
            .bind(&order.message().key)
            .bind(charge)
            .execute(&checkout)
            .await?;
        order.ack().await?;
    }
}

#[test]
fn charges_over_http_are_right() {
    let receipts = Probe::applied("SELECT id AS event_id, cart AS entity FROM receipts");
    let system = System::new("charges over HTTP")
        .broker(Profile::jetstream())
        .topic("orders", 2)
        .group(Group::new("checkout", &["orders"]))
        .database(Database::new("payments", PAYMENTS))
        .database(Database::new("checkout", CHECKOUT).probe(receipts.by("checkout")))
        .host("payments", payments)
        .host("checkout", checkout)
        .instances("checkout", 1..=2)
        .operations(
            || (any::<u32>(), 0..3_u8),
            |(number, cart): (u32, u8)| async move {
                let order = Message::new("orders", &format!("cart-{cart}"), "")
                    .header(EVENT_ID, &format!("order-{number}"));
                ask(order).await
            },
        )
        .load(FEW);
    holds(&promising_effects(system));
}
