//! Totals by window of time: many events become one, some time after the last of them.
//!
//! A reading belongs to the window that its client's clock says. A window is closed once it is old enough, with an
//! event that is written in the same transaction; a reading that comes later is set aside with an audit entry.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::{Convergence, EffectOnce, EntityOrder, Log, NoGhostEvent, NoLostEvent};
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, Delivery, EVENT_ID, Group, Machine, Message, PublishError, System};
use tokio::time::sleep;

use super::{Outcome, holds};
use crate::clock::now_ms;
use crate::pool;

/// How long a window is.
const WINDOW_MS: i64 = 1_000;
/// How long after its end a window is closed.
const GRACE_MS: i64 = 500;

const METERS: &str = "
    CREATE TABLE windows (
        number INTEGER PRIMARY KEY,
        meter TEXT NOT NULL,
        begins_ms INTEGER NOT NULL,
        total INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'open',
        UNIQUE (meter, begins_ms));
    CREATE TABLE readings (reading TEXT PRIMARY KEY, meter TEXT NOT NULL);
    CREATE TABLE late (reading TEXT PRIMARY KEY, meter TEXT NOT NULL);
    CREATE TABLE closings (number INTEGER PRIMARY KEY, window INTEGER NOT NULL UNIQUE, meter TEXT NOT NULL);";
const BILLS: &str = "CREATE TABLE bills (closing TEXT PRIMARY KEY, meter TEXT NOT NULL);";

async fn meters(machine: Machine) -> Outcome {
    let meters = pool::connect(machine.url("meters")).await?;
    let broker = Broker::connect();
    tokio::try_join!(
        add_up(&meters, &broker),
        close(&meters),
        publish(&meters, &broker)
    )?;
    Ok(())
}

async fn add_up(meters: &SqlitePool, broker: &Broker) -> Outcome {
    let mut readings = broker.subscribe("meters", &["readings"]).await?;
    loop {
        let reading = readings.next().await?;
        add(meters, &reading).await?;
        reading.ack().await?;
    }
}

async fn add(meters: &SqlitePool, reading: &Delivery) -> Outcome {
    let message = reading.message();
    let read_at_ms: i64 = message
        .headers
        .get("read-at-ms")
        .ok_or("no time")?
        .parse()?;
    let amount: i64 = std::str::from_utf8(&message.payload)?.parse()?;
    let begins_ms = read_at_ms - read_at_ms % WINDOW_MS;
    let mut transaction = meters.begin().await?;
    let known = sqlx::query(
        "SELECT 1 FROM readings WHERE reading = $1 UNION ALL SELECT 1 FROM late WHERE reading = $1",
    )
    .bind(message.event_id())
    .fetch_optional(&mut *transaction)
    .await?;
    if known.is_some() {
        return Ok(());
    }
    sqlx::query("INSERT INTO windows (meter, begins_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(&message.key)
        .bind(begins_ms)
        .execute(&mut *transaction)
        .await?;
    let added = sqlx::query(
        "UPDATE windows SET total = total + $1 WHERE meter = $2 AND begins_ms = $3 AND state = 'open'",
    )
    .bind(amount)
    .bind(&message.key)
    .bind(begins_ms)
    .execute(&mut *transaction)
    .await?;
    let note = match added.rows_affected() {
        1 => "INSERT INTO readings VALUES ($1, $2)",
        _ => "INSERT INTO late VALUES ($1, $2)",
    };
    sqlx::query(note)
        .bind(message.event_id())
        .bind(&message.key)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

async fn close(meters: &SqlitePool) -> Outcome {
    loop {
        let old: Vec<(i64, String)> = sqlx::query_as(
            "SELECT number, meter FROM windows WHERE state = 'open' AND begins_ms < $1 ORDER BY begins_ms",
        )
        .bind(now_ms() - WINDOW_MS - GRACE_MS)
        .fetch_all(meters)
        .await?;
        for (window, meter) in old {
            let mut transaction = meters.begin().await?;
            sqlx::query("UPDATE windows SET state = 'closed' WHERE number = $1")
                .bind(window)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("INSERT INTO closings (window, meter) VALUES ($1, $2)")
                .bind(window)
                .bind(&meter)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        sleep(Duration::from_millis(300)).await;
    }
}

/// Publishes closings from where it got to; after a restart it begins at the beginning.
async fn publish(meters: &SqlitePool, broker: &Broker) -> Outcome {
    let mut last = 0;
    loop {
        let closings: Vec<(i64, String)> =
            sqlx::query_as("SELECT number, meter FROM closings WHERE number > $1 ORDER BY number")
                .bind(last)
                .fetch_all(meters)
                .await?;
        for (number, meter) in closings {
            let closing =
                Message::new("closings", &meter, "").header(EVENT_ID, &format!("closing-{number}"));
            broker.publish(closing).await?;
            last = number;
        }
        sleep(Duration::from_millis(150)).await;
    }
}

async fn bill(machine: Machine) -> Outcome {
    let bills = pool::connect(machine.url("bills")).await?;
    let mut closings = Broker::connect().subscribe("bills", &["closings"]).await?;
    loop {
        let closing = closings.next().await?;
        sqlx::query("INSERT INTO bills VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(closing.message().event_id())
            .bind(&closing.message().key)
            .execute(&bills)
            .await?;
        closing.ack().await?;
    }
}

async fn read((number, meter, amount): (u32, u8, i64)) -> Result<(), PublishError> {
    let reading = Message::new("readings", &format!("meter-{meter}"), amount.to_string())
        .header(EVENT_ID, &format!("reading-{number}"))
        .header("read-at-ms", &now_ms().to_string());
    Broker::connect().publish(reading).await.map(drop)
}

#[test]
fn a_windowed_aggregator_is_right() {
    let columns = |table: &str| format!("SELECT reading AS event_id, meter AS entity FROM {table}");
    let closed = Probe::announced(
        "SELECT number AS position, 'closing-' || number AS event_id, meter AS entity, 'closings' AS topic
         FROM closings WHERE number > $1 ORDER BY number",
    );
    let billed = Probe::applied("SELECT closing AS event_id, meter AS entity FROM bills");
    let system = System::new("windowed aggregator")
        .topic("readings", 2)
        .topic("closings", 2)
        .group(Group::new("meters", &["readings"]))
        .group(Group::new("bills", &["closings"]))
        .database(
            Database::new("meters", METERS)
                .probe(Probe::applied(columns("readings")).by("meters"))
                .probe(Probe::discarded(columns("late")).by("meters"))
                .probe(closed),
        )
        .database(Database::new("bills", BILLS).probe(billed.by("bills")))
        .host("meters", meters)
        .host("bills", bill)
        .operations(|| (any::<u32>(), 0..2_u8, 1..50_i64), read)
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 2_500,
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
