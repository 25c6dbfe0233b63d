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
use sqlx::Sqlite;
use stormglass::database::{Database, Pool, Probe};
use stormglass::simulation::Request;
use stormglass::{EVENT_ID, Group, Host, Message, Profile, System};

use super::{FEW, Outcome, ask, holds, promising_effects};
use crate::web;

const PAYMENTS: &str =
    "CREATE TABLE charges (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);";
const CHECKOUT: &str = "
    CREATE TABLE receipts (id TEXT PRIMARY KEY, cart TEXT NOT NULL, charge INTEGER NOT NULL);";

async fn payments(host: Host) -> Outcome {
    let payments = host.database::<Sqlite>("payments")?;
    let router = Router::new()
        .route("/charges/{key}", post(charge))
        .with_state(payments);
    web::serve(&host, router).await?;
    Ok(())
}

async fn charge(
    State(payments): State<Pool<Sqlite>>,
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

async fn checkout(host: Host) -> Outcome {
    let checkout = host.database::<Sqlite>("checkout")?;
    let mut orders = host.broker().subscribe("checkout", &["orders"]).await?;
    loop {
        let order = orders.next().await?;
        let id = order.message().event_id().unwrap_or_default();
        let request = Request::post(format!("/charges/{id}"), &json!({}));
        let charge = match host.http("payments:80", request).await {
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
        .ported_host("payments", payments)
        .ported_host("checkout", checkout)
        .instances("checkout", 1..=2)
        .ported_operations(
            || (any::<u32>(), 0..3_u8),
            |client: Host, (number, cart): (u32, u8)| async move {
                let order = Message::new("orders", &format!("cart-{cart}"), "")
                    .header(EVENT_ID, &format!("order-{number}"));
                ask(client, order).await
            },
        )
        .load(FEW);
    holds(&promising_effects(system));
}
