//! What operators see and do of outboxes: `GET /outbox/{topic}`, `POST /outbox/{topic}/release`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Problem, Services, mandate};
use crate::database::Database;
use crate::relay::{self, Backlog, Withheld};

/// The answer to `GET /outbox/{topic}`.
#[derive(Serialize)]
pub(super) struct Outbox {
    backlog: Backlog,
    withheld: Vec<Withheld>,
}

/// The body of `POST /outbox/{topic}/release`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    who: String,
    why: String,
}

/// The answer to `POST /outbox/{topic}/release`.
#[derive(Serialize)]
pub(super) struct Released {
    events: u64,
}

/// What waits to be published to a topic, and what of it waits for an operator.
pub(super) async fn show(
    State(services): State<Services>,
    Path(topic): Path<String>,
) -> Result<Json<Outbox>, Problem> {
    let database = services.origin(&topic)?;
    let (backlog, withheld) = tokio::try_join!(Backlog::read(database), relay::withheld(database))?;
    Ok(Json(Outbox { backlog, withheld }))
}

/// Lets the relay try again what is withheld.
pub(super) async fn release(
    State(services): State<Services>,
    Path(topic): Path<String>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<(StatusCode, Json<Released>), Problem> {
    let Json(Order { who, why }) = order?;
    let database = services.origin(&topic)?;
    let events = relay::release(database, &mandate(&who, &why)?).await?;
    tracing::warn!(topic, events, "released");
    Ok((StatusCode::ACCEPTED, Json(Released { events })))
}

impl Services {
    /// The database with the outbox of a topic.
    fn origin(&self, topic: &str) -> Result<&Database, Problem> {
        let mut origins = self.origins.iter();
        let origin = origins.find(|origin| origin.topic == topic);
        let problem = || {
            Problem(
                StatusCode::NOT_FOUND,
                format!("nothing is published to {topic}"),
            )
        };
        origin.map(|origin| &origin.database).ok_or_else(problem)
    }
}
