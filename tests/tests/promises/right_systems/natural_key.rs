//! A consumer without an inbox: what an event is about is unique by itself.
//!
//! Clients enrol students in courses over the broker. A student is enrolled in a course once, whatever is asked
//! for; a second request of another id is refused with an audit entry, a redelivery of the first is recognised by
//! the id that the enrolment carries.

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, Delivery, EVENT_ID, Group, Machine, Message, System};

use super::{Outcome, ask, holds, promising_effects};
use crate::pool;

const SCHEMA: &str = "
    CREATE TABLE enrolments (
        student TEXT NOT NULL,
        course TEXT NOT NULL,
        request TEXT NOT NULL,
        PRIMARY KEY (student, course));
    CREATE TABLE refusals (request TEXT PRIMARY KEY, student TEXT NOT NULL);";

async fn registrar(machine: Machine) -> Outcome {
    let registry = pool::connect(machine.url("registry")).await?;
    let mut requests = Broker::connect()
        .subscribe("registrar", &["requests"])
        .await?;
    loop {
        let request = requests.next().await?;
        if enrol(&registry, &request).await.is_ok() {
            request.ack().await?;
        } else {
            request.retry(std::time::Duration::from_millis(100)).await?;
        }
    }
}

async fn enrol(registry: &SqlitePool, request: &Delivery) -> sqlx::Result<()> {
    let message = request.message();
    let id = message.event_id().unwrap_or_default();
    let course = String::from_utf8_lossy(&message.payload);
    let mut transaction = registry.begin().await?;
    sqlx::query("INSERT INTO enrolments VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(&message.key)
        .bind(&*course)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    let (enrolled_by,): (String,) =
        sqlx::query_as("SELECT request FROM enrolments WHERE student = $1 AND course = $2")
            .bind(&message.key)
            .bind(&*course)
            .fetch_one(&mut *transaction)
            .await?;
    if enrolled_by != id {
        sqlx::query("INSERT INTO refusals VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(id)
            .bind(&message.key)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

#[test]
fn deduplication_by_a_natural_key_is_right() {
    let enrolled = Probe::applied("SELECT request AS event_id, student AS entity FROM enrolments");
    let refused = Probe::discarded("SELECT request AS event_id, student AS entity FROM refusals");
    let system = System::new("natural key")
        .topic("requests", 3)
        .group(Group::new("registrar", &["requests"]))
        .database(
            Database::new("registry", SCHEMA)
                .probe(enrolled.by("registrar"))
                .probe(refused.by("registrar")),
        )
        .host("registrar", registrar)
        .operations(
            || (any::<u32>(), 0..3_u8, "[AB]"),
            |(number, student, course): (u32, u8, String)| async move {
                let request = Message::new("requests", &format!("student-{student}"), course)
                    .header(EVENT_ID, &format!("request-{number}"));
                ask(request).await
            },
        )
        .load(Load {
            operations_min: 5,
            operations_max: 10,
            ..Load::default()
        });
    holds(&promising_effects(system));
}
