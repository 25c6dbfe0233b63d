//! A box office that issues a ticket for every booking, over NATS JetStream and SQLite, and its test.
//!
//! It is an ordinary program: `cargo run -p stormglass --example ticket_booking` serves the bookings that
//! `cargo run -p stormglass --example ticket_booking 17 A4` publishes to `nats://localhost:4222`. Only the test module at
//! the end knows of Stormglass. The naive box office forgets that a broker
//! may deliver a message more than once; its test finds that out:
//!
//!     cargo test -p stormglass --example ticket_booking
//!
//! It is not a model of how to sell tickets: there is no payment, and nobody can cancel.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Message, stream};
use futures::TryStreamExt;
use sqlx::SqlitePool;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY, booking TEXT NOT NULL, seat TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS processed (booking TEXT PRIMARY KEY);";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the box office does with one booking.
#[derive(Clone, Copy)]
enum Issue {
    /// Issues a ticket for whatever arrives.
    Naive,
    /// Issues a ticket unless this booking has one, and remembers that in one transaction.
    Idempotent,
}

/// Issues tickets for bookings, until the database or the broker fails.
async fn serve(database: &str, nats: &str, issue: Issue) -> Result<()> {
    let pool = SqlitePool::connect(database).await?;
    let jetstream = jetstream::new(async_nats::connect(nats).await?);
    let stream = stream::Config {
        name: "BOOKINGS".to_owned(),
        subjects: vec!["bookings".to_owned()],
        ..stream::Config::default()
    };
    let consumer = pull::Config {
        durable_name: Some("box-office".to_owned()),
        ack_wait: Duration::from_secs(2),
        ..pull::Config::default()
    };
    let stream = jetstream.get_or_create_stream(stream).await?;
    let consumer = stream.get_or_create_consumer("box-office", consumer);
    let mut messages = consumer.await?.messages().await?;
    while let Some(booking) = messages.try_next().await? {
        ticket(&pool, &booking, issue).await?;
        booking.ack().await?;
    }
    Ok(())
}

async fn ticket(pool: &SqlitePool, booking: &Message, issue: Issue) -> Result<()> {
    let headers = booking
        .headers
        .as_ref()
        .ok_or("a booking without headers")?;
    let id = headers
        .get("Nats-Msg-Id")
        .ok_or("a booking without an id")?
        .as_str();
    let seat = std::str::from_utf8(&booking.payload)?;
    let mut transaction = pool.begin().await?;
    if let Issue::Idempotent = issue {
        let first = sqlx::query("INSERT INTO processed VALUES ($1) ON CONFLICT DO NOTHING");
        let first = first.bind(id).execute(&mut *transaction).await?;
        if first.rows_affected() == 0 {
            return Ok(());
        }
    }
    let ticket = sqlx::query("INSERT INTO tickets (booking, seat) VALUES ($1, $2)");
    ticket
        .bind(id)
        .bind(seat)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// Books a seat: what the box office's customers do.
async fn book(nats: &str, number: u32, seat: &str) -> Result<()> {
    let jetstream = jetstream::new(async_nats::connect(nats).await?);
    let booking = PublishMessage::build()
        .payload(seat.to_owned().into())
        .message_id(format!("booking-{number}"));
    jetstream.send_publish("bookings", booking).await?.await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let database = "sqlite://tickets.db?mode=rwc";
    sqlx::raw_sql(SCHEMA)
        .execute(&SqlitePool::connect(database).await?)
        .await?;
    let nats = "nats://localhost:4222";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => serve(database, nats, Issue::Idempotent).await,
        [naive] if naive == "--naive" => serve(database, nats, Issue::Naive).await,
        [number, seat] => book(nats, number.parse()?, seat).await,
        _ => Err("usage: ticket_booking [--naive | NUMBER SEAT]".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stormglass::checker::{EffectOnce, NoLostEvent};
    use stormglass::database::{Database, Probe};
    use stormglass::{Group, System};

    use super::{Issue, SCHEMA, book, serve};

    fn booking() -> impl Strategy<Value = (u32, String)> {
        (any::<u32>(), "[A-F][1-9]")
    }

    fn system(name: &str, issue: Issue) -> System {
        let tickets = "SELECT id AS position, booking AS event_id, seat AS entity FROM tickets \
                       WHERE id > $1 ORDER BY id";
        let tickets = Probe::applied(tickets).by("box-office");
        System::new(name)
            .sqlite(Database::new("tickets", SCHEMA).probe(tickets))
            .nats("nats")
            .host("box-office", move |machine| async move {
                serve(machine.url("tickets"), "nats://nats", issue).await
            })
            .group(Group::new("box-office", &["bookings"]))
            .operations(booking, |(number, seat)| async move {
                book("nats://nats", number, &seat).await
            })
            .property(EffectOnce)
            .property(NoLostEvent)
    }

    #[test]
    fn naive_box_office_issues_one_ticket_per_booking() {
        system("naive box office", Issue::Naive).check();
    }

    #[test]
    fn idempotent_box_office_issues_one_ticket_per_booking() {
        system("idempotent box office", Issue::Idempotent).check();
    }
}
