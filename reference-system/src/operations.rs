//! What operators do, on a listener of its own: `POST /parked/{consumer}/replay`, `GET /outbox/{topic}` and
//! `POST /outbox/{topic}/release`.
//!
//! It is for people who run the system and is not to be reached by customers: it checks nobody's identity.

use std::io;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::database::Database;
use crate::relay::{self, Backlog};
use crate::replay::{Origin, replay};
use crate::shutdown::Shutdown;

/// The databases of the services, as operators see them.
#[derive(Clone, Debug)]
pub struct Services {
    /// Consumers, each with its database.
    pub consumers: Vec<(&'static str, Database)>,
    /// Topics, each with the database that its events come from.
    pub origins: Vec<Origin>,
}

/// Serves operators from `listener` until it has to stop; requests that have begun are still answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    shutdown: Shutdown,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/parked/{consumer}/replay", post(replay_parked))
        .route("/outbox/{topic}", get(outbox))
        .route("/outbox/{topic}/release", post(release_withheld))
        .with_state(services);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

async fn replay_parked(State(services): State<Services>, Path(consumer): Path<String>) -> Response {
    let mut consumers = services.consumers.iter();
    let Some((_, database)) = consumers.find(|(name, _)| *name == consumer) else {
        return unknown(&format!("there is no consumer {consumer}"));
    };
    match replay(&consumer, database, &services.origins).await {
        Ok(replayed) => (StatusCode::ACCEPTED, Json(replayed)).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// What waits to be published to a topic, and what of it waits for an operator.
async fn outbox(State(services): State<Services>, Path(topic): Path<String>) -> Response {
    let Some(database) = services.origin(&topic) else {
        return unknown(&format!("nothing is published to {topic}"));
    };
    match tokio::try_join!(Backlog::read(database), relay::withheld(database)) {
        Ok((backlog, withheld)) => {
            Json(json!({ "backlog": backlog, "withheld": withheld })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn release_withheld(State(services): State<Services>, Path(topic): Path<String>) -> Response {
    let Some(database) = services.origin(&topic) else {
        return unknown(&format!("nothing is published to {topic}"));
    };
    match relay::release(database).await {
        Ok(events) => {
            tracing::warn!(topic, events, "released");
            (StatusCode::ACCEPTED, Json(json!({ "events": events }))).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

impl Services {
    /// The database with the outbox of a topic.
    fn origin(&self, topic: &str) -> Option<&Database> {
        let mut origins = self.origins.iter();
        let origin = origins.find(|origin| origin.topic == topic);
        origin.map(|origin| &origin.database)
    }
}

fn unknown(error: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

fn unavailable(error: &sqlx::Error) -> Response {
    tracing::error!(%error, "not done");
    let problem = json!({ "error": "database unavailable, try again" });
    (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response()
}
