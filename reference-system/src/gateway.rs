//! The HTTP gateway, on a listener that it is handed:
//! `POST /orders`, `GET /orders/{id}`, `GET /orders?customer={address}`, `POST /orders/{id}/cancel`,
//! `POST /orders/{id}/address`.
//!
//! It is the ingress: here every flow gets its correlation id, and its trace. It knows no database and no broker.

use std::io;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use opentelemetry::trace::FutureExt;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tracing::Instrument;

use crate::correlation::Correlation;
use crate::order::{Orders, OrdersError, PlaceOrder, Readdress};
use crate::shutdown::Shutdown;
use crate::telemetry::{Telemetry, http};

/// The header with the caller's correlation id; also on every answer.
const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// The header that makes a repeated request harmless.
const IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest idempotency key, in bytes.
const KEY_LENGTH_MAX: usize = 255;

/// Serves requests from `listener` until it has to stop; those that have begun are still answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    orders: Arc<dyn Orders>,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> io::Result<()> {
    let routes = http::traced(router(orders), &telemetry);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

/// The routes.
pub fn router(orders: Arc<dyn Orders>) -> Router {
    Router::new()
        .route("/orders", post(place).get(of_customer))
        .route("/orders/{id}", get(find))
        .route("/orders/{id}/cancel", post(cancel))
        .route("/orders/{id}/address", post(readdress))
        .fallback(async || Problem(StatusCode::NOT_FOUND, "no such route".to_owned()))
        .method_not_allowed_fallback(async || {
            let problem = "method not allowed here".to_owned();
            Problem(StatusCode::METHOD_NOT_ALLOWED, problem)
        })
        .with_state(orders)
}

/// The body of `POST /orders`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderRequest {
    customer: String,
    card: String,
    address: String,
    sku: String,
    quantity: i64,
    unit_price_cents: i64,
    /// What a voucher takes off; most orders have none.
    #[serde(default)]
    discount_cents: i64,
}

/// The body of `POST /orders/{id}/address`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressRequest {
    address: String,
    version: i64,
}

/// The query of `GET /orders`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrdersQuery {
    customer: String,
}

/// An answer that says what went wrong.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<OrdersError> for Problem {
    fn from(error: OrdersError) -> Self {
        let status = match error {
            OrdersError::Invalid(_) => StatusCode::BAD_REQUEST,
            OrdersError::Unknown(_) => StatusCode::NOT_FOUND,
            OrdersError::KeyReused | OrdersError::TooLate { .. } => StatusCode::CONFLICT,
            OrdersError::Database(_) | OrdersError::Service(_) | OrdersError::Unanswered(_) => {
                tracing::error!(%error, "request failed");
                // The cause is for the log: what a database says is not for a caller's eyes.
                let problem = match error {
                    OrdersError::Service(error) => format!("{} unavailable", error.service),
                    OrdersError::Unanswered(_) => "customers unavailable, try again".to_owned(),
                    _ => "database unavailable, try again".to_owned(),
                };
                return Self(StatusCode::SERVICE_UNAVAILABLE, problem);
            }
        };
        Self(status, error.to_string())
    }
}

async fn place(
    State(orders): State<Arc<dyn Orders>>,
    headers: HeaderMap,
    body: Result<Json<OrderRequest>, JsonRejection>,
) -> Response {
    let place = async |correlation| {
        let order = order(&headers, body)?;
        let order_id = orders.place(order, correlation).await?;
        Ok((StatusCode::ACCEPTED, Json(json!({ "order_id": order_id }))))
    };
    answer("POST /orders", &headers, place).await
}

async fn cancel(
    State(orders): State<Arc<dyn Orders>>,
    headers: HeaderMap,
    Path(order_id): Path<String>,
) -> Response {
    let cancel = async |correlation| {
        orders.cancel(&order_id, correlation).await?;
        Ok(Json(json!({ "order_id": order_id })))
    };
    answer("POST /orders/{id}/cancel", &headers, cancel).await
}

async fn readdress(
    State(orders): State<Arc<dyn Orders>>,
    headers: HeaderMap,
    Path(order_id): Path<String>,
    body: Result<Json<AddressRequest>, JsonRejection>,
) -> Response {
    let readdress = async |correlation| {
        let Json(request) = body.map_err(|rejection| bad(rejection.body_text()))?;
        let change = Readdress {
            address: request.address,
            version: request.version,
            idempotency_key: idempotency_key(&headers)?,
        };
        orders.readdress(&order_id, change, correlation).await?;
        Ok(Json(json!({ "order_id": order_id })))
    };
    answer("POST /orders/{id}/address", &headers, readdress).await
}

async fn find(
    State(orders): State<Arc<dyn Orders>>,
    headers: HeaderMap,
    Path(order_id): Path<String>,
) -> Response {
    let find = async |_| {
        let order = orders.find(&order_id).await?;
        Ok(Json(order.ok_or(OrdersError::Unknown(order_id))?))
    };
    answer("GET /orders/{id}", &headers, find).await
}

async fn of_customer(
    State(orders): State<Arc<dyn Orders>>,
    headers: HeaderMap,
    query: Result<Query<OrdersQuery>, QueryRejection>,
) -> Response {
    let of_customer = async |_| {
        let Query(query) = query.map_err(|rejection| bad(rejection.body_text()))?;
        let orders = orders.of_customer(&query.customer).await?;
        Ok(Json(json!({ "orders": orders })))
    };
    answer("GET /orders", &headers, of_customer).await
}

/// Answers a request within its flow.
async fn answer<A: IntoResponse>(
    route: &'static str,
    headers: &HeaderMap,
    carry_out: impl AsyncFnOnce(Correlation) -> Result<A, Problem>,
) -> Response {
    let given = headers.get(CORRELATION_HEADER);
    let given = given.and_then(|value| value.to_str().ok());
    let correlation = Correlation::at_ingress(given);
    let correlation_id = correlation.correlation_id.clone();
    let span = tracing::info_span!("request", route, correlation_id);
    let context = http::served(route, headers, &correlation_id);
    let answer = carry_out(correlation).instrument(span);
    let answer = answer.with_context(context.clone()).await.into_response();
    http::answered(&context, answer.status());
    ([(CORRELATION_HEADER, correlation_id)], answer).into_response()
}

fn bad(problem: String) -> Problem {
    Problem(StatusCode::BAD_REQUEST, problem)
}

fn order(
    headers: &HeaderMap,
    body: Result<Json<OrderRequest>, JsonRejection>,
) -> Result<PlaceOrder, Problem> {
    let Json(request) = body.map_err(|rejection| bad(rejection.body_text()))?;
    Ok(PlaceOrder {
        customer: request.customer,
        card: request.card,
        address: request.address,
        sku: request.sku,
        quantity: request.quantity,
        unit_price_cents: request.unit_price_cents,
        discount_cents: request.discount_cents,
        idempotency_key: idempotency_key(headers)?,
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_HEADER) else {
        return Ok(None);
    };
    let key = value.to_str().ok();
    let usable = key.filter(|key| (1..=KEY_LENGTH_MAX).contains(&key.len()));
    let problem = || bad("idempotency-key must be 1 to 255 ASCII characters".to_owned());
    Ok(Some(usable.ok_or_else(problem)?.to_owned()))
}
