//! The HTTP gateway: `POST /orders` and `GET /orders/{id}`, on a listener that it is handed.
//!
//! It is the ingress: here every flow gets its correlation id. It knows no database and no broker.

use std::fmt::Debug;
use std::io;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tracing::Instrument;

use crate::correlation::Correlation;
use crate::order::{Orders, OrdersError, PlaceOrder};
use crate::ports::Identifiers;

/// The header with the caller's correlation id; also on every answer.
const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// The header that makes a repeated request harmless.
const IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest idempotency key, in bytes.
const KEY_LENGTH_MAX: usize = 255;

/// Serves requests from `listener`, for ever.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve<L, O, I>(listener: L, orders: O, identifiers: I) -> io::Result<()>
where
    L: axum::serve::Listener,
    L::Addr: Debug,
    O: Orders,
    I: Identifiers,
{
    axum::serve(listener, router(orders, identifiers)).await
}

/// The routes.
pub fn router<O: Orders, I: Identifiers>(orders: O, identifiers: I) -> Router {
    Router::new()
        .route("/orders", post(place::<O, I>))
        .route("/orders/{id}", get(find::<O, I>))
        .fallback(async || Problem(StatusCode::NOT_FOUND, "no such route".to_owned()))
        .method_not_allowed_fallback(async || {
            let problem = "method not allowed here".to_owned();
            Problem(StatusCode::METHOD_NOT_ALLOWED, problem)
        })
        .with_state(Gateway {
            orders,
            identifiers,
        })
}

#[derive(Clone)]
struct Gateway<O, I> {
    orders: O,
    identifiers: I,
}

/// The body of `POST /orders`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderRequest {
    customer: String,
    card: String,
    sku: String,
    quantity: i64,
    unit_price_cents: i64,
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
            OrdersError::KeyReused => StatusCode::CONFLICT,
            OrdersError::Database(_) => {
                tracing::error!(%error, "request failed");
                // The cause is for the log: what a database says is not for a caller's eyes.
                let problem = "database unavailable, try again".to_owned();
                return Self(StatusCode::SERVICE_UNAVAILABLE, problem);
            }
        };
        Self(status, error.to_string())
    }
}

async fn place<O: Orders, I: Identifiers>(
    State(gateway): State<Gateway<O, I>>,
    headers: HeaderMap,
    body: Result<Json<OrderRequest>, JsonRejection>,
) -> Response {
    let correlation = gateway.correlation(&headers);
    let correlation_id = correlation.correlation_id.clone();
    let span = tracing::info_span!("POST /orders", correlation_id);
    let answer = async {
        let order = order(&headers, body)?;
        let order_id = gateway.orders.place(order, correlation).await?;
        let body = Json(json!({ "order_id": order_id }));
        Ok::<_, Problem>((StatusCode::ACCEPTED, body))
    };
    let answer = answer.instrument(span).await;
    ([(CORRELATION_HEADER, correlation_id)], answer).into_response()
}

async fn find<O: Orders, I: Identifiers>(
    State(gateway): State<Gateway<O, I>>,
    headers: HeaderMap,
    Path(order_id): Path<String>,
) -> Response {
    let correlation_id = gateway.correlation(&headers).correlation_id;
    let span = tracing::info_span!("GET /orders", correlation_id);
    let answer = async {
        let order = gateway.orders.find(&order_id).await?;
        let missing = || {
            Problem(
                StatusCode::NOT_FOUND,
                format!("there is no order {order_id}"),
            )
        };
        order.map(Json).ok_or_else(missing)
    };
    let answer = answer.instrument(span).await;
    ([(CORRELATION_HEADER, correlation_id)], answer).into_response()
}

impl<O, I: Identifiers> Gateway<O, I> {
    fn correlation(&self, headers: &HeaderMap) -> Correlation {
        let given = headers.get(CORRELATION_HEADER);
        let given = given.and_then(|value| value.to_str().ok());
        Correlation::at_ingress(given, &self.identifiers)
    }
}

fn order(
    headers: &HeaderMap,
    body: Result<Json<OrderRequest>, JsonRejection>,
) -> Result<PlaceOrder, Problem> {
    let bad = |problem: String| Problem(StatusCode::BAD_REQUEST, problem);
    let Json(request) = body.map_err(|rejection| bad(rejection.body_text()))?;
    let key = match headers.get(IDEMPOTENCY_HEADER) {
        None => None,
        Some(value) => {
            let key = value.to_str().ok();
            let usable = key.filter(|key| (1..=KEY_LENGTH_MAX).contains(&key.len()));
            let problem = || bad("idempotency-key must be 1 to 255 ASCII characters".to_owned());
            Some(usable.ok_or_else(problem)?.to_owned())
        }
    };
    Ok(PlaceOrder {
        customer: request.customer,
        card: request.card,
        sku: request.sku,
        quantity: request.quantity,
        unit_price_cents: request.unit_price_cents,
        idempotency_key: key,
    })
}
