//! A request that is sent before it is noted, so that the answer may find nobody who asked.
//!
//! Described for NServiceBus in Particular/docs.particular.net#5583 ("saga not found"): what replies is faster than
//! the transaction that stores the saga.

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::{Convergence, EffectOnce, Log, NoLostEvent};
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, EVENT_ID, Group, Machine, Message, System};

use super::{Calm, Outcome, found};
use crate::pool;

const DESK: &str = "CREATE TABLE quotes (id TEXT PRIMARY KEY, is_answered INTEGER NOT NULL);";
const BROKERAGE: &str =
    "CREATE TABLE answers (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);";

async fn desk(machine: Machine) -> Outcome {
    let quotes = pool::connect(machine.url("desk")).await?;
    let broker = Broker::connect();
    tokio::try_join!(ask(&quotes, &broker), hear(&quotes, &broker))?;
    Ok(())
}

async fn ask(quotes: &SqlitePool, broker: &Broker) -> Outcome {
    let mut commands = broker.subscribe("desk-commands", &["commands"]).await?;
    loop {
        let command = commands.next().await?;
        let id = command.message().event_id().unwrap_or_default();
        let request = Message::new("requests", id, "").header(EVENT_ID, &format!("request-{id}"));
        broker.publish(request).await?;
        sqlx::query("INSERT INTO quotes VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(id)
            .execute(quotes)
            .await?;
        command.ack().await?;
    }
}

async fn hear(quotes: &SqlitePool, broker: &Broker) -> Outcome {
    let mut answers = broker.subscribe("desk-answers", &["answers"]).await?;
    loop {
        let answer = answers.next().await?;
        let known = sqlx::query("UPDATE quotes SET is_answered = 1 WHERE id = $1")
            .bind(&answer.message().key)
            .execute(quotes)
            .await?;
        if known.rows_affected() == 0 {
            tracing::warn!("an answer to a quote that nobody asked for");
        }
        answer.ack().await?;
    }
}

async fn brokerage(machine: Machine) -> Outcome {
    let answers = pool::connect(machine.url("brokerage")).await?;
    let broker = Broker::connect();
    let mut requests = broker.subscribe("brokerage", &["requests"]).await?;
    loop {
        let request = requests.next().await?;
        let id = &request.message().key;
        sqlx::query("INSERT INTO answers (id) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(id)
            .execute(&answers)
            .await?;
        let answer = Message::new("answers", id, "100").header(EVENT_ID, &format!("answer-{id}"));
        broker.publish(answer).await?;
        request.ack().await?;
    }
}

#[test]
fn a_reply_before_the_request_is_stored_is_found() {
    let heard =
        Probe::applied("SELECT 'answer-' || id AS event_id FROM quotes WHERE is_answered = 1");
    let answered = Probe::announced(
        "SELECT number AS position, 'answer-' || id AS event_id, id AS entity, 'answers' AS topic
         FROM answers WHERE number > $1 ORDER BY number",
    );
    let system = System::new("reply before the request is stored")
        .topic("commands", 2)
        .topic("requests", 2)
        .topic("answers", 2)
        .group(Group::new("desk-commands", &["commands"]))
        .group(Group::new("desk-answers", &["answers"]))
        .group(Group::new("brokerage", &["requests"]))
        .database(Database::new("desk", DESK).probe(heard.by("desk-answers")))
        .database(Database::new("brokerage", BROKERAGE).probe(answered))
        .host("desk", desk)
        .host("brokerage", brokerage)
        .operations(any::<u32>, |number: u32| async move {
            let id = format!("quote-{number}");
            let command = Message::new("commands", &id, "").header(EVENT_ID, &id);
            Broker::connect().publish(command).await.map(drop)
        })
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 3_000,
            ..Load::default()
        })
        .property(NoLostEvent)
        .property(EffectOnce)
        .property(Convergence)
        .property(Log);
    found(&system, Calm::Holds, "no-lost-event");
}
