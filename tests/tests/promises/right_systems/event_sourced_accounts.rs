//! Accounts that are nothing but their events, with optimistic concurrency.
//!
//! Two instances of the service append to one table of events, in which an account has each version once: who
//! comes second reads again and decides anew. The table is also what is published from. Clients ask over HTTP,
//! either instance, and ask again under the same id when they get no answer.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use stormglass::checker::{Convergence, EffectOnce, EntityOrder, Log, NoGhostEvent, NoLostEvent};
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{
    Broker, CAUSATION_ID, CORRELATION_ID, EVENT_ID, EVENT_TYPE, Group, Machine, Message, System,
};
use tokio::time::sleep;

use super::{Outcome, holds};
use crate::pool;
use crate::web;

const STORE: &str = "
    CREATE TABLE events (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL,
        version INTEGER NOT NULL,
        command TEXT NOT NULL UNIQUE,
        change INTEGER NOT NULL,
        is_published INTEGER NOT NULL DEFAULT 0,
        UNIQUE (account, version));";
const STATEMENTS: &str = "
    CREATE TABLE lines (
        number INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        version INTEGER NOT NULL,
        command TEXT NOT NULL,
        UNIQUE (account, version));";

/// What a client asks for: a deposit, or a withdrawal if the change is negative.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Command {
    id: String,
    change: i64,
}

async fn accounts(machine: Machine) -> Outcome {
    let store = pool::connect(machine.url("store")).await?;
    let router = Router::new()
        .route("/accounts/{account}", post(change))
        .with_state(store);
    web::serve(router).await?;
    Ok(())
}

async fn change(
    State(store): State<SqlitePool>,
    Path(account): Path<String>,
    Json(command): Json<Command>,
) -> StatusCode {
    for _ in 0..5 {
        match decide(&store, &account, &command).await {
            Ok(status) => return status,
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE,
        }
    }
    StatusCode::CONFLICT
}

/// Reads the account's events, decides, and appends the next version.
async fn decide(store: &SqlitePool, account: &str, command: &Command) -> sqlx::Result<StatusCode> {
    let history: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT version, command, change FROM events WHERE account = $1 ORDER BY version",
    )
    .bind(account)
    .fetch_all(store)
    .await?;
    if history.iter().any(|(_, id, _)| *id == command.id) {
        return Ok(StatusCode::OK);
    }
    let balance: i64 = history.iter().map(|(_, _, change)| change).sum();
    if balance + command.change < 0 {
        return Ok(StatusCode::FORBIDDEN);
    }
    sqlx::query("INSERT INTO events (account, version, command, change) VALUES ($1, $2, $3, $4)")
        .bind(account)
        .bind(history.len() as i64 + 1)
        .bind(&command.id)
        .bind(command.change)
        .execute(store)
        .await?;
    Ok(StatusCode::CREATED)
}

async fn publish(machine: Machine) -> Outcome {
    let store = pool::connect(machine.url("store")).await?;
    let broker = Broker::connect();
    loop {
        let events: Vec<(i64, String, i64, String)> = sqlx::query_as(
            "SELECT position, account, version, command FROM events
             WHERE is_published = 0 ORDER BY position LIMIT 20",
        )
        .fetch_all(&store)
        .await?;
        for (position, account, version, command) in events {
            let event = Message::new("changes", &account, version.to_string())
                .header(EVENT_ID, &format!("change-{command}"))
                .header(EVENT_TYPE, "account.changed")
                .header(CORRELATION_ID, &command)
                .header(CAUSATION_ID, &command);
            broker.publish(event).await?;
            sqlx::query("UPDATE events SET is_published = 1 WHERE position = $1")
                .bind(position)
                .execute(&store)
                .await?;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Writes a line for each version, none twice and none ahead of its predecessor.
async fn statements(machine: Machine) -> Outcome {
    let statements = pool::connect(machine.url("statements")).await?;
    let mut changes = Broker::connect()
        .subscribe("statements", &["changes"])
        .await?;
    loop {
        let change = changes.next().await?;
        let account = change.message().key.clone();
        let version: i64 = std::str::from_utf8(&change.message().payload)?.parse()?;
        let mut transaction = statements.begin().await?;
        let (lines,): (i64,) = sqlx::query_as("SELECT count(*) FROM lines WHERE account = $1")
            .bind(&account)
            .fetch_one(&mut *transaction)
            .await?;
        if version > lines + 1 {
            return Err(format!("{account} has {lines} lines, and version {version} came").into());
        }
        if version == lines + 1 {
            sqlx::query("INSERT INTO lines (account, version, command) VALUES ($1, $2, $3)")
                .bind(&account)
                .bind(version)
                .bind(change.message().event_id())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        change.ack().await?;
    }
}

async fn ask((number, account, change): (u32, u8, i64)) -> Result<u16, String> {
    let id = format!("command-{number}");
    let command = Command { id, change };
    for instance in ["accounts-a", "accounts-b"].iter().cycle().take(6) {
        let url = format!("http://{instance}/accounts/account-{account}");
        match web::post(&url, &command).await {
            Ok(response) if response.status < 409 => return Ok(response.status),
            _ => sleep(Duration::from_millis(300)).await,
        }
    }
    Err("no answer".to_owned())
}

#[test]
fn event_sourced_accounts_are_right() {
    let appended = Probe::announced(
        "SELECT position, 'change-' || command AS event_id, account AS entity, 'changes' AS topic,
             'account.changed' AS event_type, command AS correlation_id, command AS cause_id
         FROM events WHERE position > $1 ORDER BY position",
    );
    let lines = Probe::applied(
        "SELECT number AS position, command AS event_id, account AS entity FROM lines
         WHERE number > $1 ORDER BY number",
    );
    let system = System::new("event-sourced accounts")
        .topic("changes", 2)
        .group(Group::new("statements", &["changes"]))
        .database(Database::new("store", STORE).probe(appended))
        .database(Database::new("statements", STATEMENTS).probe(lines.by("statements")))
        .host("accounts-a", accounts)
        .host("accounts-b", accounts)
        .host("publisher", publish)
        .host("statements", statements)
        .operations(|| (any::<u32>(), 0..2_u8, -50..100_i64), ask)
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 1_500,
            ..Load::default()
        })
        .property(NoLostEvent)
        .property(NoGhostEvent::default())
        .property(EffectOnce)
        .property(EntityOrder)
        .property(Convergence)
        .property(Log);
    holds(&system);
}
