//! A batch consumer: it takes several messages at once and stores them together. Where one cannot be read, what came
//! before it is stored, and what comes after it is handed back untried.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::DlqRouting;
use stormglass::database::{Database, Probe};
use stormglass::{
    Broker, BrokerError, Delivery, Group, Machine, Message, Profile, Subscription, System,
};
use tokio::time::timeout;

use super::{FEW, Outcome, ask, command, holds, promising_effects};
use crate::pool;

const BATCH_MAX: usize = 4;
const ATTEMPTS_MAX: i64 = 5;

const ARCHIVE: &str = "
    CREATE TABLE readings (id TEXT PRIMARY KEY, meter TEXT NOT NULL, value INTEGER NOT NULL);
    CREATE TABLE attempts (id TEXT PRIMARY KEY, failed INTEGER NOT NULL);";

async fn archive(machine: Machine) -> Outcome {
    let archive = pool::connect(machine.url("archive")).await?;
    let mut readings = Broker::connect()
        .subscribe("archive", &["readings"])
        .await?;
    loop {
        let mut readable = take(&mut readings).await?;
        let first = readable
            .iter()
            .position(|one| value(one.message()).is_err());
        let mut others = readable
            .split_off(first.unwrap_or(readable.len()))
            .into_iter();
        store(&archive, &readable).await?;
        for reading in readable {
            reading.ack().await?;
        }
        if let Some(unreadable) = others.next() {
            refuse(&archive, unreadable).await?;
        }
        for rest in others {
            rest.retry(Duration::ZERO).await?;
        }
    }
}

/// Waits for a message, and takes what else is there.
async fn take(readings: &mut Subscription) -> Result<Vec<Delivery>, BrokerError> {
    let mut batch = vec![readings.next().await?];
    while batch.len() < BATCH_MAX {
        match timeout(Duration::from_millis(40), readings.next()).await {
            Ok(next) => batch.push(next?),
            Err(_) => break,
        }
    }
    Ok(batch)
}

fn value(reading: &Message) -> Result<i64, Box<dyn std::error::Error>> {
    Ok(std::str::from_utf8(&reading.payload)?.parse()?)
}

async fn store(archive: &SqlitePool, batch: &[Delivery]) -> Outcome {
    let mut transaction = archive.begin().await?;
    for reading in batch.iter().map(Delivery::message) {
        sqlx::query("INSERT INTO readings VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(reading.event_id())
            .bind(&reading.key)
            .bind(value(reading)?)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Counts a failed attempt, and parks the message with the last one.
async fn refuse(archive: &SqlitePool, reading: Delivery) -> Outcome {
    let (failed,): (i64,) = sqlx::query_as(
        "INSERT INTO attempts VALUES ($1, 1)
         ON CONFLICT (id) DO UPDATE SET failed = failed + 1 RETURNING failed",
    )
    .bind(reading.message().event_id())
    .fetch_one(archive)
    .await?;
    if failed < ATTEMPTS_MAX {
        reading.retry(Duration::from_millis(100)).await?;
        return Ok(());
    }
    let mut parked = reading.message().clone().header("reason", "no number");
    parked.topic = "readings-dead".to_owned();
    Broker::connect().publish(parked).await?;
    reading.ack().await?;
    Ok(())
}

#[test]
fn a_batch_consumer_is_right() {
    let readings = Probe::applied("SELECT id AS event_id, meter AS entity FROM readings");
    let system = System::new("batch consumer")
        .broker(Profile::jetstream())
        .topic("readings", 2)
        .group(Group::new("archive", &["readings"]).dead_letters("readings-dead"))
        .database(Database::new("archive", ARCHIVE).probe(readings.by("archive")))
        .host("archive", archive)
        .operations(
            || (any::<u32>(), 0..3_u8, 0..100_i64),
            |(number, meter, value): (u32, u8, i64)| {
                let (key, id) = (format!("meter-{meter}"), format!("reading-{number}"));
                ask(command("readings", &key, &id, value.to_string()))
            },
        )
        .load(stormglass::plan::Load {
            operations_max: 12,
            over_ms: 600,
            ..FEW
        })
        .property(DlqRouting::default());
    holds(&promising_effects(system));
}
