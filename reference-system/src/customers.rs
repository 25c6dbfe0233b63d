//! Customers, without events: `PUT`, `GET` and `DELETE /customers/{id}`, and `GET /customers/{id}/may-order`.
//!
//! Nobody has to do anything when a customer's name changes, so that changing the row is all there is to it: no outbox, no
//! inbox, no journal. And whether somebody may order has to be known before the order is taken: that is asked by a
//! call ([`crate::authorisation`]), which is answered from the row as it is now. An event would say what was true
//! once, and the question would have to wait for it.

use std::io;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::database::Database;
use crate::schema::Engine;
use crate::shutdown::Shutdown;

/// What is known of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The customer's name.
    pub name: String,
    /// Whether orders are taken from the customer.
    pub may_order: bool,
}

/// The answer to whether somebody may order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MayOrder {
    pub(crate) may_order: bool,
}

/// The script that creates the service's table.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => include_str!("../migrations/sqlite/customer.sql"),
        Engine::Postgres => include_str!("../migrations/postgres/customer.sql"),
    }
}

/// Serves requests from `listener` until it has to stop; those that have begun are still answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    shutdown: Shutdown,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/customers/{id}", get(find).put(replace).delete(remove))
        .route("/customers/{id}/may-order", get(may_order))
        .with_state(database);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

/// An answer for want of a database.
struct Unavailable;

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        let problem = json!({ "error": "database unavailable, try again" });
        (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response()
    }
}

impl From<sqlx::Error> for Unavailable {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "request failed");
        Self
    }
}

async fn find(
    State(database): State<Database>,
    Path(id): Path<String>,
) -> Result<Response, Unavailable> {
    let customer = select(&database, &id).await?;
    Ok(customer.map_or_else(unknown, |customer| Json(customer).into_response()))
}

/// An unknown customer may not order.
async fn may_order(
    State(database): State<Database>,
    Path(id): Path<String>,
) -> Result<Json<MayOrder>, Unavailable> {
    let customer = select(&database, &id).await?;
    let may_order = customer.is_some_and(|customer| customer.may_order);
    Ok(Json(MayOrder { may_order }))
}

async fn replace(
    State(database): State<Database>,
    Path(id): Path<String>,
    Json(customer): Json<Customer>,
) -> Result<StatusCode, Unavailable> {
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO customers (id, name, may_order) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, may_order = excluded.may_order",
    )
    .bind(id)
    .bind(customer.name)
    .bind(i64::from(customer.may_order))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(database): State<Database>,
    Path(id): Path<String>,
) -> Result<Response, Unavailable> {
    let mut tx = database.begin().await?;
    let removed = sqlx::query("DELETE FROM customers WHERE id = $1")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(match removed.rows_affected() {
        0 => unknown(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
}

pub(crate) async fn select(database: &Database, id: &str) -> sqlx::Result<Option<Customer>> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT name, may_order FROM customers WHERE id = $1")
            .bind(id)
            .fetch_optional(database.reads())
            .await?;
    Ok(row.map(|(name, may_order)| Customer {
        name,
        may_order: may_order == 1,
    }))
}

fn unknown() -> Response {
    let problem = json!({ "error": "there is no such customer" });
    (StatusCode::NOT_FOUND, Json(problem)).into_response()
}
