//! A choreographed saga with a deadline, whose steps may come in any order.
//!
//! `desk` opens a trip and gives it two seconds. `hotel` keeps a room, or frees it; a trip that is cancelled before
//! its room was asked for gets no room afterwards. The desk decides once: whichever of the room and the deadline
//! is first moves the trip out of `open`.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use sqlx::Sqlite;
use stormglass::checker::{
    Causality, Convergence, EffectOnce, EntityOrder, Log, NoGhostEvent, NoLostEvent,
};
use stormglass::database::{Database, Pool, Probe, Transaction};
use stormglass::plan::Load;
use stormglass::{
    Broker, CAUSATION_ID, CORRELATION_ID, Delivery, EVENT_ID, EVENT_TYPE, Group, Host, Message,
    System,
};
use tokio::time::sleep;

use super::{Outcome, holds, publish_until_acknowledged};

/// For how long a trip may stay open.
const DEADLINE_MS: i64 = 2_000;

const OUTBOX: &str = "
    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        trip TEXT NOT NULL,
        cause TEXT NOT NULL,
        is_published INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE handled (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, trip TEXT NOT NULL);";
const TRIPS: &str = "
    CREATE TABLE trips (trip TEXT PRIMARY KEY, state TEXT NOT NULL, deadline_ms INTEGER NOT NULL);";
const ROOMS: &str = "CREATE TABLE rooms (trip TEXT PRIMARY KEY, state TEXT NOT NULL);";

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as i64
}

/// Writes an event about a trip; its id is its kind and the trip, because each happens once.
async fn announce(
    transaction: &mut Transaction<'_, Sqlite>,
    kind: &str,
    trip: &str,
    cause: &str,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO events (id, kind, trip, cause) VALUES ($1, $2, $3, $4)")
        .bind(format!("{kind}-{trip}"))
        .bind(kind)
        .bind(trip)
        .bind(cause)
        .execute(&mut **transaction)
        .await
        .map(drop)
}

async fn publish(database: &Pool<Sqlite>, broker: &Broker, topic: &str) -> Outcome {
    loop {
        let events: Vec<(i64, String, String, String, String)> = sqlx::query_as(
            "SELECT number, id, kind, trip, cause FROM events WHERE is_published = 0 ORDER BY number",
        )
        .fetch_all(database)
        .await?;
        for (number, id, kind, trip, cause) in events {
            let event = Message::new(topic, &trip, "")
                .header(EVENT_ID, &id)
                .header(EVENT_TYPE, &kind)
                .header(CORRELATION_ID, &trip)
                .header(CAUSATION_ID, &cause);
            broker.publish(event).await?;
            sqlx::query("UPDATE events SET is_published = 1 WHERE number = $1")
                .bind(number)
                .execute(database)
                .await?;
        }
        sleep(Duration::from_millis(150)).await;
    }
}

/// Begins the one transaction in which an event is handled, unless it was.
async fn begin(
    database: &Pool<Sqlite>,
    event: &Delivery,
) -> sqlx::Result<Option<Transaction<'static, Sqlite>>> {
    let mut transaction = database.begin().await?;
    let first =
        sqlx::query("INSERT INTO handled (id, trip) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(event.message().event_id())
            .bind(&event.message().key)
            .execute(&mut *transaction)
            .await?;
    Ok((first.rows_affected() == 1).then_some(transaction))
}

async fn desk(host: Host) -> Outcome {
    let desk = host.database::<Sqlite>("desk")?;
    let broker = host.broker();
    tokio::try_join!(
        open(&desk, &broker),
        hear(&desk, &broker),
        give_up(&desk),
        publish(&desk, &broker, "trips")
    )?;
    Ok(())
}

async fn open(desk: &Pool<Sqlite>, broker: &Broker) -> Outcome {
    let mut wishes = broker.subscribe("desk-wishes", &["wishes"]).await?;
    loop {
        let wish = wishes.next().await?;
        let trip = wish.message().key.clone();
        if let Some(mut transaction) = begin(desk, &wish).await? {
            sqlx::query("INSERT INTO trips VALUES ($1, 'open', $2)")
                .bind(&trip)
                .bind(now_ms() + DEADLINE_MS)
                .execute(&mut *transaction)
                .await?;
            let cause = wish.message().event_id().unwrap_or_default();
            announce(&mut transaction, "trip.opened", &trip, cause).await?;
            transaction.commit().await?;
        }
        wish.ack().await?;
    }
}

async fn hear(desk: &Pool<Sqlite>, broker: &Broker) -> Outcome {
    let mut rooms = broker.subscribe("desk-rooms", &["rooms"]).await?;
    loop {
        let room = rooms.next().await?;
        if let Some(mut transaction) = begin(desk, &room).await? {
            sqlx::query("UPDATE trips SET state = 'confirmed' WHERE trip = $1 AND state = 'open'")
                .bind(&room.message().key)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        room.ack().await?;
    }
}

async fn give_up(desk: &Pool<Sqlite>) -> Outcome {
    loop {
        let late: Vec<(String,)> =
            sqlx::query_as("SELECT trip FROM trips WHERE state = 'open' AND deadline_ms < $1")
                .bind(now_ms())
                .fetch_all(desk)
                .await?;
        for (trip,) in late {
            let mut transaction = desk.begin().await?;
            let cancelled = sqlx::query(
                "UPDATE trips SET state = 'cancelled' WHERE trip = $1 AND state = 'open'",
            )
            .bind(&trip)
            .execute(&mut *transaction)
            .await?;
            if cancelled.rows_affected() == 1 {
                let cause = format!("trip.opened-{trip}");
                announce(&mut transaction, "trip.cancelled", &trip, &cause).await?;
                transaction.commit().await?;
            }
        }
        sleep(Duration::from_millis(300)).await;
    }
}

async fn hotel(host: Host) -> Outcome {
    let hotel = host.database::<Sqlite>("hotel")?;
    let broker = host.broker();
    tokio::try_join!(
        keep_rooms(&hotel, &broker),
        publish(&hotel, &broker, "rooms")
    )?;
    Ok(())
}

async fn keep_rooms(hotel: &Pool<Sqlite>, broker: &Broker) -> Outcome {
    let mut trips = broker.subscribe("hotel", &["trips"]).await?;
    loop {
        let event = trips.next().await?;
        let trip = event.message().key.clone();
        if let Some(mut transaction) = begin(hotel, &event).await? {
            let state = match event.message().event_type() {
                Some("trip.opened") => "held",
                _ => "free",
            };
            let held = sqlx::query(
                "INSERT INTO rooms VALUES ($1, $2) ON CONFLICT (trip) DO UPDATE SET state = 'free'",
            )
            .bind(&trip)
            .bind(state)
            .execute(&mut *transaction)
            .await?;
            if state == "held" && held.rows_affected() == 1 {
                let cause = event.message().event_id().unwrap_or_default();
                announce(&mut transaction, "room.held", &trip, cause).await?;
            }
            transaction.commit().await?;
        }
        event.ack().await?;
    }
}

#[test]
fn a_saga_with_a_deadline_is_right() {
    let announced = |topic: &str| {
        Probe::announced(format!(
            "SELECT number AS position, id AS event_id, trip AS entity, '{topic}' AS topic,
                 kind AS event_type, trip AS correlation_id, cause AS cause_id
             FROM events WHERE number > $1 ORDER BY number"
        ))
    };
    let handled = |which: &str| {
        Probe::applied(format!(
            "SELECT number AS position, id AS event_id, trip AS entity, trip AS correlation_id
             FROM handled WHERE number > $1 AND id {which} ORDER BY number"
        ))
    };
    let system = System::new("saga with a deadline")
        .topic("wishes", 2)
        .topic("trips", 2)
        .topic("rooms", 2)
        .group(Group::new("desk-wishes", &["wishes"]))
        .group(Group::new("desk-rooms", &["rooms"]))
        .group(Group::new("hotel", &["trips"]))
        .database(
            Database::new("desk", format!("{OUTBOX}{TRIPS}"))
                .probe(handled("LIKE 'wish-%'").by("desk-wishes"))
                .probe(handled("LIKE 'room.held-%'").by("desk-rooms"))
                .probe(announced("trips")),
        )
        .database(
            Database::new("hotel", format!("{OUTBOX}{ROOMS}"))
                .probe(handled("LIKE 'trip.%'").by("hotel"))
                .probe(announced("rooms")),
        )
        .host("desk", desk)
        .host("hotel", hotel)
        .operations(any::<u32>, |client: Host, number: u32| async move {
            let trip = format!("trip-{number}");
            let wish = Message::new("wishes", &trip, "")
                .header(EVENT_ID, &format!("wish-{number}"))
                .header(CORRELATION_ID, &trip);
            publish_until_acknowledged(&client.broker(), &wish).await;
            Ok::<(), String>(())
        })
        .load(Load {
            operations_min: 2,
            operations_max: 5,
            over_ms: 2_000,
        })
        .property(NoLostEvent)
        .property(NoGhostEvent::default())
        .property(EffectOnce)
        .property(EntityOrder)
        .property(Causality)
        .property(Convergence)
        .property(Log);
    holds(&system);
}
