//! A cancellation that finds nothing to cancel, because the booking comes later.
//!
//! Reported as apache/servicecomb-pack#346: the compensation of a slow step was run before the step itself, which
//! then took place and stayed.

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
    CREATE TABLE rooms (trip TEXT PRIMARY KEY, state TEXT NOT NULL);
    CREATE TABLE cancelled (trip TEXT PRIMARY KEY);";

async fn hotel(machine: Machine) -> Outcome {
    let rooms = pool::connect(machine.url("hotel")).await?;
    let broker = Broker::connect();
    tokio::try_join!(
        on_each(
            &rooms,
            &broker,
            "bookings",
            "INSERT INTO rooms VALUES ($1, 'held') ON CONFLICT DO NOTHING"
        ),
        on_each(
            &rooms,
            &broker,
            "cancellations",
            "UPDATE rooms SET state = 'free' WHERE trip = $1"
        )
    )?;
    Ok(())
}

/// Runs a statement for each message of a topic.
async fn on_each(
    rooms: &SqlitePool,
    broker: &Broker,
    topic: &'static str,
    statement: &'static str,
) -> Outcome {
    let mut messages = broker
        .subscribe(&format!("hotel-{topic}"), &[topic])
        .await?;
    loop {
        let message = messages.next().await?;
        let trip = &message.message().key;
        let mut transaction = rooms.begin().await?;
        sqlx::query(statement)
            .bind(trip)
            .execute(&mut *transaction)
            .await?;
        if topic == "cancellations" {
            sqlx::query("INSERT INTO cancelled VALUES ($1) ON CONFLICT DO NOTHING")
                .bind(trip)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        message.ack().await?;
    }
}

#[test]
fn a_cancellation_before_the_booking_is_found() {
    let kept = "SELECT trip FROM rooms JOIN cancelled USING (trip) WHERE state = 'held'";
    let system = System::new("cancelled before it was booked")
        .topic("bookings", 2)
        .topic("cancellations", 2)
        .group(Group::new("hotel-bookings", &["bookings"]))
        .group(Group::new("hotel-cancellations", &["cancellations"]))
        .database(Database::new("hotel", SCHEMA).view("kept", kept))
        .host("hotel", hotel)
        .operations(any::<u32>, |number: u32| async move {
            for topic in ["bookings", "cancellations"] {
                let message = Message::new(topic, &format!("trip-{number}"), "")
                    .header(EVENT_ID, &format!("{topic}-{number}"));
                Broker::connect().publish(message).await?;
                sleep(Duration::from_millis(300)).await;
            }
            Ok::<(), stormglass::PublishError>(())
        })
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 3_000,
            ..Load::default()
        })
        .property(NoRows {
            id: "rooms-freed",
            promise: "no room is kept for a trip that was cancelled",
            view: "kept",
        })
        .property(Convergence)
        .property(Log);
    found(&system, Calm::Holds, "rooms-freed");
}
