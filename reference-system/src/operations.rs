//! What operators do, on a listener of its own, with a token ([`access`](Token)):
//! `GET /parked`, `GET /parked/{consumer}/{event_id}`, `POST /parked/{consumer}/replay`,
//! `POST /parked/{consumer}/discard`, `GET /outbox/{topic}`, `POST /outbox/{topic}/release`, `GET /actions`, `GET /metrics`; and `GET /health`, which needs none.
//!
//! It is for people who run the system and is not to be reached by customers. A token says that somebody is an operator,
//! and not who: what they say of themselves is written down as they say it.

mod access;
mod metrics;
mod outbox;

use std::io;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::database::Database;
use crate::dead_letter::audit::{self, Entry, Mandate};
use crate::dead_letter::discard::{Discarded, discard};
use crate::dead_letter::parked::{self, Filter, Group, Parked, Whole};
use crate::monitor::LagThreshold;
use crate::ports::broker::Standings;
use crate::replay::{Origin, Replayed, replay};
use crate::shutdown::Shutdown;

pub use access::Token;

/// How many entries a list has at most, and where nothing else is asked for.
const LIST_MAX: u32 = 1000;
const LIST: u32 = 100;

/// The services, as operators see them.
#[derive(Clone)]
pub struct Services {
    /// Consumers, each with its database.
    pub consumers: Vec<(&'static str, Database)>,
    /// Topics, each with the database that its events come from.
    pub origins: Vec<Origin>,
    /// Consumer groups, for the metrics of how far each is behind.
    pub groups: Vec<LagThreshold>,
    /// Who tells that.
    pub standings: Arc<dyn Standings>,
}

impl Services {
    /// The database of a consumer.
    fn database_of(&self, consumer: &str) -> Result<&Database, Problem> {
        let mut consumers = self.consumers.iter();
        let found = consumers.find(|(name, _)| *name == consumer);
        let problem = || {
            let problem = format!("there is no consumer {consumer}");
            Problem(StatusCode::NOT_FOUND, problem)
        };
        found.map(|(_, database)| database).ok_or_else(problem)
    }

    /// The consumer of this name, or all of them.
    fn consumers<'s>(
        &'s self,
        only: Option<&'s str>,
    ) -> Result<Vec<(&'s str, &'s Database)>, Problem> {
        match only {
            Some(name) => Ok(vec![(name, self.database_of(name)?)]),
            None => {
                let all = self.consumers.iter();
                Ok(all.map(|(name, database)| (*name, database)).collect())
            }
        }
    }
}

/// Serves operators that show the token from `listener` until it has to stop; requests that have begun are still answered.
/// Without a token it only says that it is there.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    token: Option<Token>,
    shutdown: Shutdown,
) -> io::Result<()> {
    axum::serve(listener, router(services, token))
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

/// The routes.
pub fn router(services: Services, token: Option<Token>) -> Router {
    Router::new()
        .route("/parked", get(list))
        .route("/parked/{consumer}/{event_id}", get(show))
        .route("/parked/{consumer}/replay", post(replay_parked))
        .route("/parked/{consumer}/discard", post(discard_parked))
        .route("/outbox/{topic}", get(outbox::show))
        .route("/outbox/{topic}/release", post(outbox::release))
        .route("/actions", get(actions))
        .route("/metrics", get(metrics))
        .fallback(async || Problem(StatusCode::NOT_FOUND, "no such route".to_owned()))
        .method_not_allowed_fallback(async || {
            let problem = "method not allowed here".to_owned();
            Problem(StatusCode::METHOD_NOT_ALLOWED, problem)
        })
        .layer(from_fn_with_state(token, access::admit))
        .route("/health", get(async || Json(json!({ "health": "ok" }))))
        .with_state(services)
}

/// An answer that says what went wrong.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "operation failed");
        let problem = "database unavailable, try again".to_owned();
        Self(StatusCode::SERVICE_UNAVAILABLE, problem)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

/// The query of `GET /parked`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListQuery {
    consumer: Option<String>,
    event_id: Option<String>,
    error: Option<String>,
    event_type: Option<String>,
    older_than_seconds: Option<u64>,
    group_by: Option<GroupBy>,
    limit: Option<u32>,
}

/// What a list is grouped by.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GroupBy {
    Error,
}

/// The body of `POST /parked/{consumer}/replay` and `POST /parked/{consumer}/discard`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    who: String,
    why: String,
    /// Which of the parked events; everything if it is left out.
    #[serde(default)]
    only: Filter,
}

/// Who orders it, and why: both have to be said.
fn mandate(who: &str, why: &str) -> Result<Mandate, Problem> {
    let (who, why) = (who.trim(), why.trim());
    if who.is_empty() || why.is_empty() {
        let problem = "say who you are, and why".to_owned();
        return Err(Problem(StatusCode::BAD_REQUEST, problem));
    }
    Ok(Mandate {
        who: who.to_owned(),
        why: why.to_owned(),
    })
}

/// The answer to `GET /parked`.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    Each { parked: Vec<Parked>, total: i64 },
    Grouped { groups: Vec<Group> },
}

async fn list(
    State(services): State<Services>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Listed>, Problem> {
    let Query(query) = query?;
    let filter = Filter {
        event_id: query.event_id,
        error: query.error,
        event_type: query.event_type,
        older_than_seconds: query.older_than_seconds,
    };
    let consumers = services.consumers(query.consumer.as_deref())?;
    if let Some(GroupBy::Error) = query.group_by {
        return grouped(&consumers, &filter).await;
    }
    let limit = query.limit.unwrap_or(LIST).min(LIST_MAX);
    let (mut parked, mut total) = (Vec::new(), 0);
    for (consumer, database) in consumers {
        let room = limit.saturating_sub(u32::try_from(parked.len()).unwrap_or(u32::MAX));
        let own = parked::select(database, consumer, &filter, room).await?;
        parked::mark_seen(database, &own).await?;
        total += parked::count(database, consumer, &filter).await?;
        parked.extend(own);
    }
    Ok(Json(Listed::Each { parked, total }))
}

async fn grouped(
    consumers: &[(&str, &Database)],
    filter: &Filter,
) -> Result<Json<Listed>, Problem> {
    let mut groups = Vec::new();
    for (consumer, database) in consumers {
        groups.extend(parked::groups(database, consumer, filter).await?);
    }
    Ok(Json(Listed::Grouped { groups }))
}

async fn show(
    State(services): State<Services>,
    Path((consumer, event_id)): Path<(String, String)>,
) -> Result<Json<Whole>, Problem> {
    let database = services.database_of(&consumer)?;
    let Some(whole) = parked::whole(database, &consumer, &event_id).await? else {
        let problem = format!("{consumer} has not parked {event_id}");
        return Err(Problem(StatusCode::NOT_FOUND, problem));
    };
    parked::mark_seen(database, std::slice::from_ref(&whole.parked)).await?;
    Ok(Json(whole))
}

async fn replay_parked(
    State(services): State<Services>,
    Path(consumer): Path<String>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let Json(order) = order?;
    let database = services.database_of(&consumer)?;
    let origins = &services.origins;
    let replayed = replay(
        &consumer,
        database,
        origins,
        &order.only,
        &mandate(&order.who, &order.why)?,
    )
    .await?;
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}

async fn discard_parked(
    State(services): State<Services>,
    Path(consumer): Path<String>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<Json<Discarded>, Problem> {
    let Json(order) = order?;
    let database = services.database_of(&consumer)?;
    if order.only.is_everything() {
        let problem = "say which events: nobody discards everything".to_owned();
        return Err(Problem(StatusCode::BAD_REQUEST, problem));
    }
    let discarded = discard(
        &consumer,
        database,
        &order.only,
        &mandate(&order.who, &order.why)?,
    )
    .await?;
    Ok(Json(discarded))
}

/// What operators did.
#[derive(Serialize)]
struct Actions {
    actions: Vec<Entry>,
}

async fn actions(State(services): State<Services>) -> Result<Json<Actions>, Problem> {
    let mut actions = Vec::new();
    for (_, database) in &services.consumers {
        actions.extend(audit::latest(database, LIST).await?);
    }
    actions.sort_by_key(|entry| std::cmp::Reverse(entry.at_ms));
    actions.truncate(LIST as usize);
    Ok(Json(Actions { actions }))
}

async fn metrics(State(services): State<Services>) -> Result<impl IntoResponse, Problem> {
    let text = metrics::read(&services).await?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}
