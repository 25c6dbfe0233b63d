//! How a partner takes webhooks once: `POST /webhooks`.
//!
//! It believes only what is signed, notes each id in the transaction of its effect, and answers what it knows already as what it takes for the
//! first time. It is the partner's code, and shares nothing with the shop but the secret.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::clock::now_ms;
use crate::database::Database;
use crate::schema::{Engine, script};
use crate::shutdown::Shutdown;

use super::signature::{Secret, header};

/// The script that creates the partner's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "partner")
}

/// A partner's side.
#[derive(Clone)]
struct Receiver {
    database: Database,
    secret: Arc<Secret>,
}

/// What a partner reads of a webhook.
#[derive(Deserialize)]
struct Webhook {
    #[serde(rename = "type")]
    event_type: String,
    correlation_id: String,
    data: Data,
}

/// The part of a webhook that is about the order.
#[derive(Deserialize)]
struct Data {
    order_id: String,
}

/// Takes webhooks from `listener` until it has to stop; those that have begun are still answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    secret: Secret,
    shutdown: Shutdown,
) -> io::Result<()> {
    let secret = Arc::new(secret);
    let receiver = Receiver { database, secret };
    let routes = Router::new()
        .route("/webhooks", post(take))
        .with_state(receiver);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signatures)) = (
        header(header::ID),
        header(header::TIMESTAMP).and_then(|seconds| seconds.parse().ok()),
        header(header::SIGNATURE),
    ) else {
        return StatusCode::BAD_REQUEST;
    };
    let verified = receiver
        .secret
        .verify((id, timestamp, &body), signatures, now_ms() / 1000);
    if let Err(error) = verified {
        tracing::warn!(%error, "webhook is not believed");
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(webhook) = serde_json::from_str(&body) else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    match note(&receiver.database, id, &webhook, &body).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(error) => {
            tracing::error!(%error, "webhook is not taken");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Notes a webhook, unless it is known.
async fn note(database: &Database, id: &str, webhook: &Webhook, body: &str) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    let noted = sqlx::query(
        "INSERT INTO received (message_id, event_type, entity, correlation_id, body) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(&webhook.event_type)
    .bind(&webhook.data.order_id)
    .bind(&webhook.correlation_id)
    .bind(body)
    .execute(&mut *tx)
    .await?;
    match noted.rows_affected() {
        0 => tx.rollback().await,
        _ => tx.commit().await,
    }
}
