//! The HTTP face of a service: `POST /events` applies an event at once, and the answer says what follows from it.
//!
//! An event that was applied before has no effect and no consequence, so that a repeated call is harmless. It is for the other services,
//! not for customers: it checks nobody's identity.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use opentelemetry::trace::FutureExt;
use serde_json::json;
use tokio::net::TcpListener;
use tracing::Instrument;

use crate::consumer::{self, Failure, Handler};
use crate::environment::Environment;
use crate::event::Event;
use crate::retention;
use crate::telemetry::http;

use super::{Answer, PATH};

/// The route, as spans name it.
const ROUTE: &str = "POST /events";

/// A service that is called.
#[derive(Clone)]
struct Face {
    environment: Environment,
    handler: Arc<dyn Handler>,
}

/// Serves calls from `listener` until the environment has to stop; those that have begun are still answered. What was handled
/// is forgotten in time.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    environment: Environment,
    handler: Box<dyn Handler>,
) -> io::Result<()> {
    let shutdown = environment.shutdown.clone();
    let (database, settings) = (environment.database.clone(), environment.settings);
    let telemetry = environment.telemetry.clone();
    let handler = handler.into();
    let face = Face {
        environment,
        handler,
    };
    let routes = Router::new().route(PATH, post(apply)).with_state(face);
    let routes = http::traced(routes, &telemetry);
    let serving =
        axum::serve(listener, routes).with_graceful_shutdown(async move { shutdown.comes().await });
    tokio::select! {
        served = serving.into_future() => served,
        never = retention::run(database, settings) => match never {},
    }
}

async fn apply(State(face): State<Face>, headers: HeaderMap, Json(event): Json<Event>) -> Response {
    let consumer = face.handler.consumer();
    let span = tracing::info_span!(
        "call",
        consumer,
        correlation_id = event.correlation_id,
        event_id = %event.id,
        entity = event.entity,
    );
    let applied = consumer::once(&face.environment, face.handler.as_ref(), &event);
    let context = http::served(ROUTE, &headers, &event.correlation_id);
    let applied = applied.instrument(span);
    match applied.with_context(context).await {
        Ok(announced) => Json(Answer { announced }).into_response(),
        Err(failure) => {
            tracing::error!(%failure, consumer, "not applied");
            let status = match failure {
                Failure::Transient(_) => StatusCode::SERVICE_UNAVAILABLE,
                Failure::Permanent(_) | Failure::UnknownVersion(_) => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
            };
            // The cause is for the log, as everywhere.
            (status, Json(json!({ "error": "not applied" }))).into_response()
        }
    }
}
