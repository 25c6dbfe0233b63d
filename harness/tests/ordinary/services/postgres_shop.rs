//! A shop on PostgreSQL and NATS JetStream: orders over HTTP, an outbox, a relay, and a billing service with an inbox.

use std::error::Error;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::types::Json as Jsonb;
use sqlx::types::chrono::Utc;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// The tables.
pub(crate) const SCHEMA: &str = include_str!("postgres_shop.sql");

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Where the shop finds what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The database, as `postgres://…`.
    pub(crate) database: String,
    /// The broker, as `nats://…`.
    pub(crate) nats: String,
    /// What billing does with an order that it may have billed.
    pub(crate) billing: Billing,
}

/// What billing does with an order that it may have billed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Billing {
    /// It looks into its inbox.
    Once,
    /// It trusts the broker to deliver every message once.
    Naive,
}

/// What a customer asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewOrder {
    /// The customer's own number of it: the same order twice is one order.
    pub(crate) id: Uuid,
    /// What is ordered.
    pub(crate) article: String,
    /// How many of it.
    pub(crate) quantity: u32,
}

#[derive(FromRow)]
struct Outgoing {
    id: Uuid,
    subject: String,
    payload: Jsonb<NewOrder>,
}

async fn pool(config: &Config) -> Result<PgPool> {
    // The relay of a machine that is gone would keep its rows locked for hours.
    let limits = [("idle_in_transaction_session_timeout", "5s")];
    let server = config.database.parse::<PgConnectOptions>()?;
    let options = PgPoolOptions::new().max_connections(5);
    Ok(options.connect_with(server.options(limits)).await?)
}

/// Takes orders at `POST /orders`, and publishes what its outbox holds.
///
/// # Errors
///
/// If the database or the broker cannot be reached any more.
pub(crate) async fn orders(config: Config) -> Result<()> {
    let pool = pool(&config).await?;
    let jetstream = jetstream::new(async_nats::connect(&config.nats).await?);
    create_stream(&jetstream).await?;
    let routes = Router::new().route("/orders", post(place));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
    tokio::select! {
        served = axum::serve(listener, routes.with_state(pool.clone())) => Ok(served?),
        relayed = relay(pool, jetstream) => relayed,
    }
}

async fn create_stream(jetstream: &jetstream::Context) -> Result<stream::Stream> {
    let config = stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..stream::Config::default()
    };
    Ok(jetstream.get_or_create_stream(config).await?)
}

async fn place(
    State(pool): State<PgPool>,
    Json(order): Json<NewOrder>,
) -> std::result::Result<StatusCode, (StatusCode, String)> {
    let stored = store(&pool, &order).await;
    let unavailable = |error: sqlx::Error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    stored.map(|()| StatusCode::CREATED).map_err(unavailable)
}

async fn store(pool: &PgPool, order: &NewOrder) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let stored = sqlx::query(
        "INSERT INTO orders (id, details, placed_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(order.id)
    .bind(Jsonb(order))
    .bind(Utc::now())
    .execute(&mut *transaction)
    .await?;
    if stored.rows_affected() == 1 {
        sqlx::query("INSERT INTO outbox (id, subject, payload) VALUES ($1, 'orders.placed', $2)")
            .bind(order.id)
            .bind(Jsonb(order))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

async fn relay(pool: PgPool, jetstream: jetstream::Context) -> Result<()> {
    loop {
        let mut transaction = pool.begin().await?;
        let batch: Vec<Outgoing> = sqlx::query_as(
            "SELECT id, subject, payload FROM outbox WHERE published_at IS NULL ORDER BY position \
             LIMIT 10 FOR UPDATE",
        )
        .fetch_all(&mut *transaction)
        .await?;
        for event in &batch {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", event.id.to_string());
            let payload = serde_json::to_vec(&event.payload)?;
            let message = PublishMessage::build()
                .payload(payload.into())
                .headers(headers);
            jetstream
                .send_publish(event.subject.clone(), message)
                .await?
                .await?;
            sqlx::query("UPDATE outbox SET published_at = $2 WHERE id = $1")
                .bind(event.id)
                .bind(Utc::now())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        if batch.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Bills what was ordered.
///
/// # Errors
///
/// If the database or the broker cannot be reached any more.
pub(crate) async fn billing(config: Config) -> Result<()> {
    let pool = pool(&config).await?;
    let jetstream = jetstream::new(async_nats::connect(&config.nats).await?);
    let stream = create_stream(&jetstream).await?;
    let consumer = pull::Config {
        durable_name: Some("billing".to_owned()),
        filter_subject: "orders.placed".to_owned(),
        ack_wait: Duration::from_secs(2),
        ..pull::Config::default()
    };
    let consumer = stream.get_or_create_consumer("billing", consumer).await?;
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.try_next().await? {
        let order: NewOrder = serde_json::from_slice(&message.payload)?;
        bill(&pool, &order, config.billing).await?;
        message.ack().await?;
    }
    Ok(())
}

async fn bill(pool: &PgPool, order: &NewOrder, billing: Billing) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    if let Billing::Once = billing {
        let first = sqlx::query("INSERT INTO inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(order.id)
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 0 {
            return transaction.rollback().await;
        }
    }
    let cents = i64::from(order.quantity) * 995;
    sqlx::query("INSERT INTO invoices (order_id, cents) VALUES ($1, $2)")
        .bind(order.id)
        .bind(cents)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
