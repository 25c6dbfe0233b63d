//! The analytics service: how much of what is sold, good enough for people who look at trends.
//!
//! What it counts is announced by [`tracking`], which nobody waits for and which loses what the broker does not take: nothing here may cost
//! an order its pace. Who needs exact figures asks the order service.

pub mod tracking;

use std::io;

use async_trait::async_trait;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::AnyConnection;
use tokio::net::TcpListener;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::Event;
use crate::event::contract::{OrderTracked, event_type, topic};
use crate::schema::{Engine, script};
use crate::shutdown::Shutdown;

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "analytics")
}

/// Counts until it has to stop.
pub async fn consumer(environment: Environment) {
    consumer::run(environment, Box::new(Counting)).await
}

/// The analytics service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

#[async_trait]
impl Handler for Counting {
    fn consumer(&self) -> &'static str {
        "analytics"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ACTIVITY]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[event_type::ORDER_TRACKED]
    }

    async fn prepare(&self, _: &Database, _: &Event) -> Result<Box<dyn Prepared>, Failure> {
        Ok(Box::new(*self))
    }
}

#[async_trait]
impl Prepared for Counting {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        let order: OrderTracked = event.data()?;
        // A request that was repeated is tracked again, under another id.
        let counted = sqlx::query(
            "INSERT INTO tracked_orders (order_id, sku, quantity, amount_cents) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (order_id) DO NOTHING",
        )
        .bind(&event.entity)
        .bind(order.sku)
        .bind(order.quantity)
        .bind(order.amount_cents)
        .execute(&mut *tx)
        .await?;
        if counted.rows_affected() == 0 {
            let reason = "the order is counted already".to_owned();
            return Ok(Effect::Discarded { reason });
        }
        Ok(Effect::Applied {
            effect: "order counted",
            announces: None,
        })
    }
}

/// What was sold of one article.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Sales {
    /// The article.
    pub sku: String,
    /// Orders of it.
    pub orders: i64,
    /// Pieces in them.
    pub pieces: i64,
    /// What they cost, in cents.
    pub amount_cents: i64,
}

/// Answers `GET /sales` from `listener` until it has to stop; requests that have begun are still answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    shutdown: Shutdown,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/sales", get(answer))
        .with_state(database);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

async fn answer(State(database): State<Database>) -> Response {
    match sales(&database).await {
        Ok(sales) => Json(sales).into_response(),
        Err(error) => {
            tracing::error!(%error, "nothing can be said of sales");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// What was sold, by article.
///
/// # Errors
/// When the database fails.
pub async fn sales(database: &Database) -> sqlx::Result<Vec<Sales>> {
    sqlx::query_as(
        "SELECT sku, COUNT(*) AS orders, CAST(SUM(quantity) AS BIGINT) AS pieces, \
         CAST(SUM(amount_cents) AS BIGINT) AS amount_cents \
         FROM tracked_orders GROUP BY sku ORDER BY sku",
    )
    .fetch_all(database.reads())
    .await
}
