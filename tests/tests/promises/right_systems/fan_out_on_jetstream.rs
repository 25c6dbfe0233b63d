//! One event, three groups on JetStream, each with a way of its own to bear redelivery.
//!
//! The customer file keeps the newest; the mailer gives the mail provider a key; the counter remembers. Several
//! deliveries of a partition may be under way at once, so none of them relies on the order.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use stormglass::broker::JetStreamSettings;
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, EVENT_ID, Group, Machine, Message, Profile, System};

use stormglass::third_party::{Response, ThirdParty};

use super::{Outcome, ask, holds, promising_effects};
use crate::pool;
use crate::web;

const FILE: &str = "
    CREATE TABLE customers (customer TEXT PRIMARY KEY, signup TEXT NOT NULL, number INTEGER NOT NULL);
    CREATE TABLE outdated (signup TEXT PRIMARY KEY, customer TEXT NOT NULL);
    CREATE TABLE changes (signup TEXT PRIMARY KEY, customer TEXT NOT NULL);";
const MAILS: &str = "CREATE TABLE mails (signup TEXT PRIMARY KEY, customer TEXT NOT NULL);";
const COUNTS: &str = "
    CREATE TABLE counted (signup TEXT PRIMARY KEY, customer TEXT NOT NULL);
    CREATE TABLE total (one INTEGER PRIMARY KEY, signups INTEGER NOT NULL);
    INSERT INTO total VALUES (1, 0);";

/// Keeps what the latest signup of a customer said, and notes the older ones that came late.
async fn file(machine: Machine) -> Outcome {
    let file = pool::connect(machine.url("file")).await?;
    let mut signups = Broker::connect().subscribe("file", &["signups"]).await?;
    loop {
        let signup = signups.next().await?;
        let id = signup.message().event_id();
        let customer = &signup.message().key;
        let number: i64 = std::str::from_utf8(&signup.message().payload)?.parse()?;
        let mut transaction = file.begin().await?;
        let newest = sqlx::query(
            "INSERT INTO customers VALUES ($1, $2, $3) ON CONFLICT (customer) DO UPDATE
             SET signup = excluded.signup, number = excluded.number WHERE excluded.number > number",
        )
        .bind(customer)
        .bind(id)
        .bind(number)
        .execute(&mut *transaction)
        .await?;
        let note = match newest.rows_affected() {
            1 => "INSERT INTO changes VALUES ($1, $2)",
            _ => {
                "INSERT INTO outdated SELECT $1, $2
                  WHERE NOT EXISTS (SELECT 1 FROM changes WHERE signup = $1) ON CONFLICT DO NOTHING"
            }
        };
        sqlx::query(note)
            .bind(id)
            .bind(customer)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        signup.ack().await?;
    }
}

/// Sends a mail under the signup's id, which the provider takes once.
async fn mailer(machine: Machine) -> Outcome {
    let mails = pool::connect(machine.url("mails")).await?;
    let mut signups = Broker::connect().subscribe("mailer", &["signups"]).await?;
    loop {
        let signup = signups.next().await?;
        let id = signup.message().event_id().unwrap_or_default();
        let letter = json!({ "to": signup.message().key });
        let sent = web::post_once("http://mail/letters", id, &letter).await;
        if !sent.is_ok_and(|answer| answer.status == 200) {
            signup.retry(Duration::from_millis(500)).await?;
            continue;
        }
        sqlx::query("INSERT INTO mails VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(id)
            .bind(&signup.message().key)
            .execute(&mails)
            .await?;
        signup.ack().await?;
    }
}

async fn counter(machine: Machine) -> Outcome {
    let counts = pool::connect(machine.url("counts")).await?;
    let mut signups = Broker::connect().subscribe("counter", &["signups"]).await?;
    loop {
        let signup = signups.next().await?;
        let mut transaction = counts.begin().await?;
        let first = sqlx::query("INSERT INTO counted VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(signup.message().event_id())
            .bind(&signup.message().key)
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 1 {
            sqlx::query("UPDATE total SET signups = signups + 1")
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        signup.ack().await?;
    }
}

#[test]
fn a_fan_out_on_jetstream_is_right() {
    let columns =
        |table: &str| format!("SELECT signup AS event_id, customer AS entity FROM {table}");
    let system = System::new("fan-out on JetStream")
        .broker(Profile::JetStream(JetStreamSettings {
            max_ack_pending: 8,
            ..JetStreamSettings::default()
        }))
        .topic("signups", 2)
        .group(Group::new("file", &["signups"]))
        .group(Group::new("mailer", &["signups"]))
        .group(Group::new("counter", &["signups"]))
        .database(
            Database::new("file", FILE)
                .probe(Probe::applied(columns("changes")).by("file"))
                .probe(Probe::discarded(columns("outdated")).by("file")),
        )
        .database(
            Database::new("mails", MAILS).probe(Probe::applied(columns("mails")).by("mailer")),
        )
        .database(
            Database::new("counts", COUNTS).probe(Probe::applied(columns("counted")).by("counter")),
        )
        .host("file", file)
        .third_party(ThirdParty::new("mail", |_| {
            Response::new(200, json!("sent"))
        }))
        .host("mailer", mailer)
        .host("counter", counter)
        .operations(
            || (any::<u32>(), 0..3_u8),
            |(number, customer): (u32, u8)| async move {
                let id = format!("signup-{number}");
                let signup = Message::new(
                    "signups",
                    &format!("customer-{customer}"),
                    number.to_string(),
                )
                .header(EVENT_ID, &id)
                .header("Nats-Msg-Id", &id);
                ask(signup).await
            },
        )
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 2_500,
            ..Load::default()
        });
    holds(&promising_effects(system));
}
