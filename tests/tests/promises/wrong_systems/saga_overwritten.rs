//! A saga that is read, changed and written back whole, without a look at its version.
//!
//! Reported as rebus-org/Rebus#1129, JasperFx/wolverine#3414 and MassTransit/MassTransit#1776: of two messages of
//! one saga that are handled at the same time, the second write undoes the first.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::{Convergence, Log};
use stormglass::database::Database;
use stormglass::plan::Load;
use stormglass::{Broker, EVENT_ID, Group, Machine, Message, System};
use tokio::time::sleep;

use super::{Calm, NoRows, Outcome, found};
use crate::pool;

const SCHEMA: &str = "
    CREATE TABLE processed (id TEXT PRIMARY KEY, saga TEXT NOT NULL);
    CREATE TABLE sagas (saga TEXT PRIMARY KEY, paid INTEGER NOT NULL, packed INTEGER NOT NULL);";

async fn sagas(machine: Machine) -> Outcome {
    let database = pool::connect(machine.url("sagas")).await?;
    let broker = Broker::connect();
    tokio::try_join!(
        follow(&database, &broker, "paid"),
        follow(&database, &broker, "packed")
    )?;
    Ok(())
}

/// Handles the events of one topic.
async fn follow(database: &SqlitePool, broker: &Broker, topic: &'static str) -> Outcome {
    let mut events = broker
        .subscribe(&format!("sagas-{topic}"), &[topic])
        .await?;
    loop {
        let event = events.next().await?;
        let saga = &event.message().key;
        let found: Option<(bool, bool)> =
            sqlx::query_as("SELECT paid, packed FROM sagas WHERE saga = $1")
                .bind(saga)
                .fetch_optional(database)
                .await?;
        let (mut paid, mut packed) = found.unwrap_or_default();
        match topic {
            "paid" => paid = true,
            _ => packed = true,
        }
        let mut transaction = database.begin().await?;
        sqlx::query("INSERT OR REPLACE INTO sagas VALUES ($1, $2, $3)")
            .bind(saga)
            .bind(paid)
            .bind(packed)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO processed VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(event.message().event_id())
            .bind(saga)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        event.ack().await?;
    }
}

#[test]
fn a_saga_that_is_overwritten_is_found() {
    let undone = "SELECT saga FROM sagas WHERE (paid = 0 OR packed = 0)
                  AND (SELECT count(*) FROM processed WHERE processed.saga = sagas.saga) = 2";
    let system = System::new("saga overwritten")
        .topic("paid", 2)
        .topic("packed", 2)
        .group(Group::new("sagas-paid", &["paid"]))
        .group(Group::new("sagas-packed", &["packed"]))
        .database(Database::new("sagas", SCHEMA).view("undone", undone))
        .host("sagas", sagas)
        .operations(
            || (any::<u32>(), 50..400_u64),
            |(number, between_ms): (u32, u64)| async move {
                for topic in ["paid", "packed"] {
                    let event = Message::new(topic, &format!("saga-{number}"), "")
                        .header(EVENT_ID, &format!("{topic}-{number}"));
                    Broker::connect().publish(event).await?;
                    sleep(Duration::from_millis(between_ms)).await;
                }
                Ok::<(), stormglass::PublishError>(())
            },
        )
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 3_000,
            ..Load::default()
        })
        .property(NoRows {
            id: "saga-keeps-what-happened",
            promise: "a saga knows of every event that it has processed",
            view: "undone",
        })
        .property(Convergence)
        .property(Log);
    found(&system, Calm::MayBreak, "saga-keeps-what-happened");
}
