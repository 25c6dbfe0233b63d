//! A small system that is tested with Stormglass: a box office that issues a ticket per booking.
//!
//! The naive box office forgets that a broker may deliver a message more than once. Run its test:
//!
//!     cargo test -p stormglass --example ticket_booking
//!
//! It is not a model of how to sell tickets: there is no payment, and nobody can cancel.

use box_office::Issue;
use proptest::prelude::*;
use sqlx::Sqlite;
use stormglass::checker::EffectOnce;
use stormglass::database::{Database, OpenError, Pool, Probe};
use stormglass::{Broker, Delivery, EVENT_ID, Group, Host, Message, PublishError, System};

/// The system's own code: what would run in production, but for the names of its ports.
mod box_office {
    use super::{Broker, Delivery, Pool, Sqlite};

    pub(super) const SCHEMA: &str = "
        CREATE TABLE tickets (id INTEGER PRIMARY KEY, booking TEXT NOT NULL, seat TEXT NOT NULL);
        CREATE TABLE processed (booking TEXT PRIMARY KEY);";

    /// What the box office does with one booking.
    #[derive(Clone, Copy)]
    pub(super) enum Issue {
        /// Issues a ticket for whatever arrives.
        Naive,
        /// Issues a ticket unless this booking has one, and remembers that in one transaction.
        Idempotent,
    }

    /// Issues tickets for bookings, for ever.
    pub(super) async fn serve(database: Pool<Sqlite>, broker: Broker, issue: Issue) {
        loop {
            let Ok(mut bookings) = broker.subscribe("box-office", &["bookings"]).await else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            while let Ok(booking) = bookings.next().await {
                if ticket(&database, &booking, issue).await.is_err() {
                    break;
                }
                if booking.ack().await.is_err() {
                    break;
                }
            }
        }
    }

    async fn ticket(database: &Pool<Sqlite>, booking: &Delivery, issue: Issue) -> sqlx::Result<()> {
        let id = booking.message().event_id().unwrap_or_default();
        let seat = booking.message().key.as_str();
        let mut transaction = database.begin().await?;
        if let Issue::Idempotent = issue {
            let first = sqlx::query("INSERT INTO processed VALUES ($1) ON CONFLICT DO NOTHING")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            if first.rows_affected() == 0 {
                return Ok(());
            }
        }
        sqlx::query("INSERT INTO tickets (booking, seat) VALUES ($1, $2)")
            .bind(id)
            .bind(seat)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
}

/// A booking: its number, and the seat.
fn booking() -> impl Strategy<Value = (u32, String)> {
    (any::<u32>(), "[A-F][1-9]")
}

async fn book(client: Host, (number, seat): (u32, String)) -> Result<(), PublishError> {
    let booking = format!("booking-{number}");
    let message = Message::new("bookings", &seat, seat.as_str()).header(EVENT_ID, &booking);
    client.broker().publish(message).await.map(drop)
}

fn system(name: &str, issue: Issue) -> System {
    let tickets = "SELECT id AS position, booking AS event_id, seat AS entity FROM tickets \
                   WHERE id > $1 ORDER BY id";
    System::new(name)
        .topic("bookings", 2)
        .group(Group::new("box-office", &["bookings"]))
        .database(
            Database::new("tickets", box_office::SCHEMA)
                .probe(Probe::applied(tickets).by("box-office")),
        )
        .host("box-office", move |host| async move {
            let database = host.database("tickets")?;
            box_office::serve(database, host.broker(), issue).await;
            Ok::<(), OpenError>(())
        })
        .operations(booking, book)
        .property(EffectOnce)
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("naive") => system("naive box office", Issue::Naive).check(),
        _ => system("idempotent box office", Issue::Idempotent).check(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naive_box_office_issues_one_ticket_per_booking() {
        system("naive box office", Issue::Naive).check();
    }

    #[test]
    fn idempotent_box_office_issues_one_ticket_per_booking() {
        system("idempotent box office", Issue::Idempotent).check();
    }
}
