//! A scheduler of rows that fall due: time, and not an event, is what causes the next event.
//!
//! Two schedulers share one table. Whoever moves a row from `waiting` to `due` has fired it, and writes the event
//! in the same transaction; either of them publishes. The bell rings once for each reminder.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use sqlx::Sqlite;
use stormglass::checker::{
    Causality, Convergence, EffectOnce, EntityOrder, Log, NoGhostEvent, NoLostEvent,
};
use stormglass::database::{Database, Pool, Probe};
use stormglass::plan::Load;
use stormglass::{
    Broker, CAUSATION_ID, CORRELATION_ID, EVENT_ID, EVENT_TYPE, Group, Host, Message, System,
};
use tokio::time::sleep;

use super::{Outcome, holds, publish_until_acknowledged};

const CALENDAR: &str = "
    CREATE TABLE reminders (
        request TEXT PRIMARY KEY,
        person TEXT NOT NULL,
        due_at_ms INTEGER NOT NULL,
        state TEXT NOT NULL);
    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        request TEXT NOT NULL,
        person TEXT NOT NULL,
        is_published INTEGER NOT NULL DEFAULT 0);";
const BELL: &str = "CREATE TABLE rings (reminder TEXT PRIMARY KEY, person TEXT NOT NULL);";

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as i64
}

/// Three loops of one process; the first that fails takes the others with it.
async fn schedule(host: Host) -> Outcome {
    let calendar = host.database::<Sqlite>("calendar")?;
    let broker = host.broker();
    tokio::try_join!(
        take_requests(&calendar, &broker),
        fire(&calendar),
        publish(&calendar, &broker)
    )?;
    Ok(())
}

async fn take_requests(calendar: &Pool<Sqlite>, broker: &Broker) -> Outcome {
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

async fn fire(calendar: &Pool<Sqlite>) -> Outcome {
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
                sqlx::query("INSERT INTO events (id, request, person) VALUES ($1, $2, $3)")
                    .bind(format!("due-{request}"))
                    .bind(&request)
                    .bind(&person)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn publish(calendar: &Pool<Sqlite>, broker: &Broker) -> Outcome {
    loop {
        let events: Vec<(i64, String, String, String)> = sqlx::query_as(
            "SELECT number, id, request, person FROM events WHERE is_published = 0 ORDER BY number",
        )
        .fetch_all(calendar)
        .await?;
        for (number, id, request, person) in events {
            let event = Message::new("reminders", &person, "")
                .header(EVENT_ID, &id)
                .header(EVENT_TYPE, "reminder.due")
                .header(CORRELATION_ID, &request)
                .header(CAUSATION_ID, &request);
            broker.publish(event).await?;
            sqlx::query("UPDATE events SET is_published = 1 WHERE number = $1")
                .bind(number)
                .execute(calendar)
                .await?;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn ring(host: Host) -> Outcome {
    let bell = host.database::<Sqlite>("bell")?;
    let mut reminders = host.broker().subscribe("bell", &["reminders"]).await?;
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
    let fired = Probe::announced(
        "SELECT number AS position, id AS event_id, person AS entity, 'reminders' AS topic,
             'reminder.due' AS event_type, request AS correlation_id, request AS cause_id
         FROM events WHERE number > $1 ORDER BY number",
    );
    let rung = Probe::applied("SELECT reminder AS event_id, person AS entity FROM rings");
    let system = System::new("reminders")
        .topic("requests", 2)
        .topic("reminders", 2)
        .group(Group::new("scheduler", &["requests"]))
        .group(Group::new("bell", &["reminders"]).event_types(&["reminder.due"]))
        .database(
            Database::new("calendar", CALENDAR)
                .probe(taken.by("scheduler"))
                .probe(fired),
        )
        .database(Database::new("bell", BELL).probe(rung.by("bell")))
        .host("scheduler-a", schedule)
        .host("scheduler-b", schedule)
        .host("bell", ring)
        .operations(
            || (any::<u32>(), 0..3_u8, 0..1_500_u32),
            |client: Host, (number, person, delay_ms): (u32, u8, u32)| async move {
                let id = format!("reminder-{number}");
                let request = Message::new(
                    "requests",
                    &format!("person-{person}"),
                    delay_ms.to_string(),
                )
                .header(EVENT_ID, &id)
                .header(CORRELATION_ID, &id);
                publish_until_acknowledged(&client.broker(), &request).await;
                Ok::<(), String>(())
            },
        )
        .load(Load {
            operations_min: 3,
            operations_max: 6,
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
