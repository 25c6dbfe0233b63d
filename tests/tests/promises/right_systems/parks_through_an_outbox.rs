//! Parking through an outbox: the inbox says that a letter is parked in the transaction that writes it into a
//! table, the letter is acknowledged, and a relay publishes it to the dead letter topic later.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::DlqRouting;
use stormglass::database::{Database, Probe};
use stormglass::{Broker, Delivery, Group, Machine, Message, System};
use tokio::time::sleep;

use super::{FEW, Outcome, ask, command, holds, promising_effects};
use crate::pool;

const ATTEMPTS_MAX: i64 = 5;

const MAILROOM: &str = "
    CREATE TABLE inbox (id TEXT PRIMARY KEY, person TEXT NOT NULL, outcome TEXT NOT NULL);
    CREATE TABLE attempts (id TEXT PRIMARY KEY, failed INTEGER NOT NULL);
    CREATE TABLE parked (
        number INTEGER PRIMARY KEY,
        person TEXT NOT NULL,
        headers TEXT NOT NULL,
        payload BLOB NOT NULL,
        is_sent INTEGER NOT NULL DEFAULT 0);";

async fn sort(machine: Machine) -> Outcome {
    let mailroom = pool::connect(machine.url("mailroom")).await?;
    let mut letters = Broker::connect()
        .subscribe("mailroom", &["letters"])
        .await?;
    loop {
        let letter = letters.next().await?;
        sort_one(&mailroom, letter).await?;
    }
}

async fn sort_one(mailroom: &SqlitePool, letter: Delivery) -> Outcome {
    let message = letter.message();
    let known: Option<(String,)> = sqlx::query_as("SELECT outcome FROM inbox WHERE id = $1")
        .bind(message.event_id())
        .fetch_optional(mailroom)
        .await?;
    if known.is_none() {
        let error = match std::str::from_utf8(&message.payload) {
            Ok(_) => None,
            Err(error) if failed(mailroom, message).await? < ATTEMPTS_MAX => {
                tracing::warn!(%error, "cannot be read");
                letter.retry(Duration::from_millis(50)).await?;
                return Ok(());
            }
            Err(error) => Some(error.to_string()),
        };
        enter(mailroom, message, error).await?;
    }
    letter.ack().await?;
    Ok(())
}

/// Counts a failed attempt, and says how many there were.
async fn failed(mailroom: &SqlitePool, letter: &Message) -> sqlx::Result<i64> {
    let (failed,): (i64,) = sqlx::query_as(
        "INSERT INTO attempts VALUES ($1, 1)
         ON CONFLICT (id) DO UPDATE SET failed = failed + 1 RETURNING failed",
    )
    .bind(letter.event_id())
    .fetch_one(mailroom)
    .await?;
    Ok(failed)
}

/// Notes how a letter ended; with an error, it is parked in the same transaction.
async fn enter(mailroom: &SqlitePool, letter: &Message, error: Option<String>) -> Outcome {
    let mut transaction = mailroom.begin().await?;
    let first = sqlx::query("INSERT INTO inbox VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(letter.event_id())
        .bind(&letter.key)
        .bind(if error.is_some() { "parked" } else { "sorted" })
        .execute(&mut *transaction)
        .await?;
    if let Some(error) = error.filter(|_| first.rows_affected() == 1) {
        let headers = letter.clone().header("error", &error).headers;
        sqlx::query("INSERT INTO parked (person, headers, payload) VALUES ($1, $2, $3)")
            .bind(&letter.key)
            .bind(serde_json::to_string(&headers)?)
            .bind(&letter.payload)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn relay(machine: Machine) -> Outcome {
    let mailroom = pool::connect(machine.url("mailroom")).await?;
    let broker = Broker::connect();
    loop {
        let parked: Vec<(i64, String, String, Vec<u8>)> = sqlx::query_as(
            "SELECT number, person, headers, payload FROM parked WHERE is_sent = 0 ORDER BY number",
        )
        .fetch_all(&mailroom)
        .await?;
        for (number, person, headers, payload) in parked {
            let headers: BTreeMap<String, String> = serde_json::from_str(&headers)?;
            let mut letter = Message::new("letters-dead", &person, payload);
            letter.headers = headers;
            broker.publish(letter).await?;
            sqlx::query("UPDATE parked SET is_sent = 1 WHERE number = $1")
                .bind(number)
                .execute(&mailroom)
                .await?;
        }
        sleep(Duration::from_millis(150)).await;
    }
}

#[test]
fn parking_through_an_outbox_is_right() {
    let sorted = Probe::applied(
        "SELECT id AS event_id, person AS entity FROM inbox WHERE outcome = 'sorted'",
    );
    let system = System::new("parking through an outbox")
        .topic("letters", 2)
        .group(Group::new("mailroom", &["letters"]).dead_letters("letters-dead"))
        .database(Database::new("mailroom", MAILROOM).probe(sorted.by("mailroom")))
        .host("mailroom", sort)
        .host("relay", relay)
        .operations(
            || (any::<u32>(), 0..3_u8),
            |(number, person): (u32, u8)| {
                let (key, id) = (format!("person-{person}"), format!("letter-{number}"));
                ask(command("letters", &key, &id, "hello"))
            },
        )
        .load(FEW)
        .property(DlqRouting::default());
    holds(&promising_effects(system));
}
