//! What operators do, on a listener of its own: `POST /parked/{consumer}/replay`.
//!
//! It is for people who run the system and is not to be reached by customers: it checks nobody's identity.

use std::io;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::database::Database;
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
        .with_state(services);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

async fn replay_parked(State(services): State<Services>, Path(consumer): Path<String>) -> Response {
    let mut consumers = services.consumers.iter();
    let Some((_, database)) = consumers.find(|(name, _)| *name == consumer) else {
        let problem = json!({ "error": format!("there is no consumer {consumer}") });
        return (StatusCode::NOT_FOUND, Json(problem)).into_response();
    };
    match replay(&consumer, database, &services.origins).await {
        Ok(replayed) => (StatusCode::ACCEPTED, Json(replayed)).into_response(),
        Err(error) => {
            tracing::error!(%error, consumer, "not replayed");
            let problem = json!({ "error": "database unavailable, try again" });
            (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response()
        }
    }
}
