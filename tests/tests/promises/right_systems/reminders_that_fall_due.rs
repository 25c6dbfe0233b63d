//! A scheduler of rows that fall due: time, and not an event, is what causes the next event.
//!
//! Two schedulers share one table. Whoever moves a row from `waiting` to `due` has fired it, and writes the event
//! in the same transaction; either of them publishes. The bell rings once for each reminder.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::database::{Database, Probe};
use stormglass::{Broker, Group, Machine, System};
use tokio::time::sleep;

use super::outbox::{self, Event, OUTBOX};
use super::{FEW, Outcome, ask, command, holds, promising_events};
use crate::clock::now_ms;
use crate::pool;

const CALENDAR: &str = "
    CREATE TABLE reminders (
        request TEXT PRIMARY KEY,
        person TEXT NOT NULL,
        due_at_ms INTEGER NOT NULL,
        state TEXT NOT NULL);";
const BELL: &str = "CREATE TABLE rings (reminder TEXT PRIMARY KEY, person TEXT NOT NULL);";

/// Three loops of one process; the first that fails takes the others with it.
async fn schedule(machine: Machine) -> Outcome {
    let calendar = pool::connect(machine.url("calendar")).await?;
    let broker = Broker::connect();
    tokio::try_join!(
        take_requests(&calendar, &broker),
        fire(&calendar),
        outbox::publish(&calendar, &broker, "reminders")
    )?;
    Ok(())
}

async fn take_requests(calendar: &SqlitePool, broker: &Broker) -> Outcome {
    let mut requests = broker.subscribe("scheduler", &["requests"]).await?;
    loop {
        let request = requests.next().await?;
        let message = request.message();
        let delay_ms: i64 = std::str::from_utf8(&message.payload)?.parse()?;
        sqlx::query("INSERT INTO reminders VALUES ($1, $2, $3, 'waiting') ON CONFLICT DO NOTHING")
            .bind(message.event_id())
            .bind(&message.key)
            .bind(now_ms() + delay_ms)
            .execute(calendar)
            .await?;
        request.ack().await?;
    }
}

async fn fire(calendar: &SqlitePool) -> Outcome {
    loop {
        let due: Vec<(String, String)> = sqlx::query_as(
            "SELECT request, person FROM reminders WHERE state = 'waiting' AND due_at_ms <= $1",
        )
        .bind(now_ms())
        .fetch_all(calendar)
        .await?;
        for (request, person) in due {
            let mut transaction = calendar.begin().await?;
            let fired = sqlx::query(
                "UPDATE reminders SET state = 'due' WHERE request = $1 AND state = 'waiting'",
            )
            .bind(&request)
            .execute(&mut *transaction)
            .await?;
            if fired.rows_affected() == 1 {
                let event = Event {
                    id: &format!("due-{request}"),
                    kind: "reminder.due",
                    entity: &person,
                    flow: &request,
                    cause: &request,
                    payload: "",
                };
                outbox::write(&mut transaction, event).await?;
                transaction.commit().await?;
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn ring(machine: Machine) -> Outcome {
    let bell = pool::connect(machine.url("bell")).await?;
    let mut reminders = Broker::connect().subscribe("bell", &["reminders"]).await?;
    loop {
        let reminder = reminders.next().await?;
        sqlx::query("INSERT INTO rings VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(reminder.message().event_id())
            .bind(&reminder.message().key)
            .execute(&bell)
            .await?;
        reminder.ack().await?;
    }
}

#[test]
fn a_scheduler_of_rows_that_fall_due_is_right() {
    let taken = Probe::applied(
        "SELECT request AS event_id, person AS entity, request AS correlation_id FROM reminders",
    );
    let rung = Probe::applied("SELECT reminder AS event_id, person AS entity FROM rings");
    let system = System::new("reminders")
        .topic("requests", 2)
        .topic("reminders", 2)
        .group(Group::new("scheduler", &["requests"]))
        .group(Group::new("bell", &["reminders"]).event_types(&["reminder.due"]))
        .database(
            Database::new("calendar", format!("{OUTBOX}{CALENDAR}"))
                .probe(taken.by("scheduler"))
                .probe(outbox::announced("reminders")),
        )
        .database(Database::new("bell", BELL).probe(rung.by("bell")))
        .host("scheduler-a", schedule)
        .host("scheduler-b", schedule)
        .host("bell", ring)
        .operations(
            || (any::<u32>(), 0..3_u8, 0..1_500_u32),
            |(number, person, delay_ms): (u32, u8, u32)| {
                let (key, id) = (format!("person-{person}"), format!("reminder-{number}"));
                let delay_ms = delay_ms.to_string();
                ask(command("requests", &key, &id, delay_ms))
            },
        )
        .load(FEW);
    holds(&promising_events(system));
}
