//! What is asked of the search service: `GET /orders?customer=…&state=…&text=…`.
//!
//! An answer is as old as the last event that has arrived. At most a hundred orders are found; there are no pages.

use std::io;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::database::Database;
use crate::shutdown::Shutdown;

/// How many orders are found at most.
const FOUND_MAX: i64 = 100;

/// What is looked for; what is not given does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// The customer's mail address.
    customer: String,
    /// `placed`, `confirmed`, `dispatched`, `shipped` or `cancelled`.
    state: String,
    /// A part of the address or of the article, in letters of any size.
    text: String,
}

/// An order that was found. What no event has told yet is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Found {
    /// The order's id.
    pub order_id: String,
    /// `placed`, `confirmed`, `dispatched`, `shipped` or `cancelled`.
    pub state: String,
    /// The customer's mail address.
    pub customer: Option<String>,
    /// The article.
    pub sku: Option<String>,
    /// How many.
    pub quantity: Option<i64>,
    /// Where it is sent.
    pub address: Option<String>,
}

/// Answers searches from `listener` until it has to stop; requests that have begun are still answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    shutdown: Shutdown,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/orders", get(search))
        .with_state(database);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

async fn search(
    State(database): State<Database>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let wanted = match wanted {
        Ok(Query(wanted)) => wanted,
        Err(rejection) => {
            let problem = json!({ "error": rejection.body_text() });
            return (StatusCode::BAD_REQUEST, Json(problem)).into_response();
        }
    };
    match find(&database, &wanted).await {
        Ok(found) => Json(found).into_response(),
        Err(error) => {
            tracing::error!(%error, "search failed");
            let problem = json!({ "error": "database unavailable, try again" });
            (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response()
        }
    }
}

async fn find(database: &Database, wanted: &Wanted) -> sqlx::Result<Vec<Found>> {
    sqlx::query_as(
        "SELECT order_id, state, customer, sku, quantity, address FROM found_orders \
         WHERE ($1 = '' OR customer = $1) AND ($2 = '' OR state = $2) \
         AND ($3 = '' OR LOWER(COALESCE(address, '')) LIKE $3 ESCAPE '!' \
              OR LOWER(COALESCE(sku, '')) LIKE $3 ESCAPE '!') \
         ORDER BY order_id LIMIT $4",
    )
    .bind(&wanted.customer)
    .bind(&wanted.state)
    .bind(pattern(&wanted.text))
    .bind(FOUND_MAX)
    .fetch_all(database.reads())
    .await
}

/// The pattern of a text that may stand anywhere; empty for an empty one.
fn pattern(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_patterns_is_taken_literally() {
        assert_eq!(pattern(""), "");
        assert_eq!(pattern("Mill_Lane 5%!"), "%mill!_lane 5!%!!%");
    }
}
