//! A choreographed saga with a deadline, whose steps may come in any order.
//!
//! `desk` opens a trip and gives it two seconds. `hotel` keeps a room, or frees it; a trip that is cancelled before
//! its room was asked for gets no room afterwards. The desk decides once: whichever of the room and the deadline
//! is first moves the trip out of `open`.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::{Sqlite, SqlitePool, Transaction};
use stormglass::database::Database;
use stormglass::{Broker, CORRELATION_ID, EVENT_ID, Group, Machine, Message, System};
use tokio::time::sleep;

use super::inbox::{self, INBOX};
use super::outbox::{self, Event, OUTBOX};
use super::{FEW, Outcome, ask, holds, promising_events};
use crate::clock::now_ms;
use crate::pool;

/// For how long a trip may stay open.
const DEADLINE_MS: i64 = 2_000;

const TRIPS: &str = "
    CREATE TABLE trips (trip TEXT PRIMARY KEY, state TEXT NOT NULL, deadline_ms INTEGER NOT NULL);";
const ROOMS: &str = "CREATE TABLE rooms (trip TEXT PRIMARY KEY, state TEXT NOT NULL);";

/// Writes an event about a trip; its id is its kind and the trip, because each happens once.
async fn announce(
    transaction: &mut Transaction<'_, Sqlite>,
    kind: &str,
    trip: &str,
    cause: &str,
) -> sqlx::Result<()> {
    let event = Event {
        id: &format!("{kind}-{trip}"),
        kind,
        entity: trip,
        flow: trip,
        cause,
        payload: "",
    };
    outbox::write(transaction, event).await
}

async fn desk(machine: Machine) -> Outcome {
    let desk = pool::connect(machine.url("desk")).await?;
    let broker = Broker::connect();
    tokio::try_join!(
        open(&desk, &broker),
        hear(&desk, &broker),
        give_up(&desk),
        outbox::publish(&desk, &broker, "trips")
    )?;
    Ok(())
}

async fn open(desk: &SqlitePool, broker: &Broker) -> Outcome {
    let mut wishes = broker.subscribe("desk-wishes", &["wishes"]).await?;
    loop {
        let wish = wishes.next().await?;
        let trip = wish.message().key.clone();
        if let Some(mut transaction) = inbox::begin(desk, "desk-wishes", wish.message()).await? {
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

async fn hear(desk: &SqlitePool, broker: &Broker) -> Outcome {
    let mut rooms = broker.subscribe("desk-rooms", &["rooms"]).await?;
    loop {
        let room = rooms.next().await?;
        if let Some(mut transaction) = inbox::begin(desk, "desk-rooms", room.message()).await? {
            sqlx::query("UPDATE trips SET state = 'confirmed' WHERE trip = $1 AND state = 'open'")
                .bind(&room.message().key)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        room.ack().await?;
    }
}

async fn give_up(desk: &SqlitePool) -> Outcome {
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

async fn hotel(machine: Machine) -> Outcome {
    let hotel = pool::connect(machine.url("hotel")).await?;
    let broker = Broker::connect();
    tokio::try_join!(
        keep_rooms(&hotel, &broker),
        outbox::publish(&hotel, &broker, "rooms")
    )?;
    Ok(())
}

async fn keep_rooms(hotel: &SqlitePool, broker: &Broker) -> Outcome {
    let mut trips = broker.subscribe("hotel", &["trips"]).await?;
    loop {
        let event = trips.next().await?;
        let trip = event.message().key.clone();
        if let Some(mut transaction) = inbox::begin(hotel, "hotel", event.message()).await? {
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
    let system = System::new("saga with a deadline")
        .topic("wishes", 2)
        .topic("trips", 2)
        .topic("rooms", 2)
        .group(Group::new("desk-wishes", &["wishes"]))
        .group(Group::new("desk-rooms", &["rooms"]))
        .group(Group::new("hotel", &["trips"]))
        .database(
            Database::new("desk", format!("{INBOX}{OUTBOX}{TRIPS}"))
                .probe(inbox::handled("desk-wishes"))
                .probe(inbox::handled("desk-rooms"))
                .probe(outbox::announced("trips")),
        )
        .database(
            Database::new("hotel", format!("{INBOX}{OUTBOX}{ROOMS}"))
                .probe(inbox::handled("hotel"))
                .probe(outbox::announced("rooms")),
        )
        .host("desk", desk)
        .host("hotel", hotel)
        .operations(any::<u32>, |number: u32| async move {
            let trip = format!("trip-{number}");
            let wish = Message::new("wishes", &trip, "")
                .header(EVENT_ID, &format!("wish-{number}"))
                .header(CORRELATION_ID, &trip);
            ask(wish).await
        })
        .load(FEW);
    holds(&promising_events(system));
}
