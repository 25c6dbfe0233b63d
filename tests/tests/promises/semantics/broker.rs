//! Publishing under faults, and what becomes of a message that nobody can read.

use std::time::Duration;

use stormglass::checker::{DlqRouting, Property, Verdict};
use stormglass::history::What;
use stormglass::plan::{Incident, PublishFault, ReceiveFault};
use stormglass::{
    Attempts, Broker, Delivery, EVENT_ID, Group, Host, Message, POISON, PublishError,
};
use tokio::time::sleep;

use super::stage::{Seen, Stage, idle};

/// Publishes at 0, 1 and 2 seconds, and says how each went.
async fn producer(host: Host) -> Result<(), String> {
    if host.incarnation() > 1 {
        return idle().await;
    }
    let broker = host.broker();
    for payload in ["one", "two", "three"] {
        let published = broker.publish(Message::new("notes", "", payload));
        match published.await {
            Ok(_) => tracing::info!("{payload} acknowledged"),
            Err(PublishError::Rejected(_)) => tracing::info!("{payload} rejected"),
            Err(PublishError::Unknown(_)) => tracing::info!("{payload} unknown"),
        }
        sleep(Duration::from_secs(1)).await;
    }
    idle().await
}

fn producing() -> Stage {
    Stage::new().with(|system| system.topic("notes", 1).ported_host("producer", producer))
}

fn check(seen: &Seen, log: &[&str], said: &[&str]) {
    assert_eq!(seen.log("notes"), log, "{}", seen.text());
    assert_eq!(seen.said("producer"), said, "{}", seen.text());
    assert_eq!(seen.run.bitten, [0], "{}", seen.text());
}

#[test]
fn a_lost_acknowledgement_leaves_the_message_and_the_producer_in_doubt() {
    let seen = producing()
        .strike("producer", 2, PublishFault::AckLost)
        .run();
    check(
        &seen,
        &["one", "two", "three"],
        &["one acknowledged", "two unknown", "three acknowledged"],
    );
}

#[test]
fn a_broker_at_its_capacity_refuses_and_appends_nothing() {
    let seen = producing()
        .at_ms(500, Incident::CapacityLimit { for_ms: 1_000 })
        .run();
    check(
        &seen,
        &["one", "three"],
        &["one acknowledged", "two rejected", "three acknowledged"],
    );
    let refused = seen.first("producer", |what| {
        matches!(what, What::PublishRejected { .. })
    });
    assert!(refused.at > Duration::from_secs(1));
}

fn cut(from: &str, to: &str) -> Seen {
    let cut = Incident::OneWayPartition {
        from: from.to_owned(),
        to: to.to_owned(),
        for_ms: 800,
    };
    producing().at_ms(600, cut).run()
}

#[test]
fn a_partition_on_the_way_back_hides_what_the_broker_has_done() {
    check(
        &cut("broker", "producer"),
        &["one", "two", "three"],
        &["one acknowledged", "two unknown", "three acknowledged"],
    );
}

#[test]
fn a_partition_on_the_way_there_lets_nothing_arrive() {
    check(
        &cut("producer", "broker"),
        &["one", "three"],
        &["one acknowledged", "two unknown", "three acknowledged"],
    );
}

#[test]
fn a_log_outlives_its_broker() {
    let seen = producing()
        .at_ms(500, Incident::BrokerOutage { for_ms: 300 })
        .run();
    assert_eq!(
        seen.log("notes"),
        ["one", "two", "three"],
        "{}",
        seen.text()
    );
    assert_eq!(seen.run.bitten, [0]);
}

/// After how many attempts the reader parks what it cannot read.
const ATTEMPTS_MAX: u32 = 3;

/// Reads notes, and parks those that are not text.
async fn reader(host: Host) -> Result<(), String> {
    let broker = host.broker();
    let subscribed = broker.subscribe("readers", &["notes"]).await;
    let mut notes = subscribed.map_err(|e| e.to_string())?;
    while let Ok(note) = notes.next().await {
        match std::str::from_utf8(&note.message().payload) {
            Ok(text) => tracing::info!("read {text}"),
            Err(_) if note.attempt() < ATTEMPTS_MAX => {
                let again = note.retry(Duration::from_millis(50));
                again.await.map_err(|e| e.to_string())?;
                continue;
            }
            Err(error) => park(&broker, &note, error).await?,
        }
        note.ack().await.map_err(|e| e.to_string())?;
    }
    Err("subscription lost".to_owned())
}

async fn park(broker: &Broker, note: &Delivery, error: std::str::Utf8Error) -> Result<(), String> {
    let mut parked = note.message().clone();
    parked.topic = "readers.dlq".to_owned();
    let parked = parked.header("error", &error.to_string());
    broker
        .publish(parked)
        .await
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Publishes three notes with ids.
async fn writer(host: Host) -> Result<(), String> {
    for id in ["a", "b", "c"] {
        if host.incarnation() > 1 {
            break;
        }
        let note = Message::new("notes", id, id).header(EVENT_ID, id);
        host.broker()
            .publish(note)
            .await
            .map_err(|e| e.to_string())?;
    }
    idle().await
}

fn reading() -> Stage {
    Stage::new().with(|system| {
        system
            .topic("notes", 1)
            .group(Group::new("readers", &["notes"]).dead_letters("readers.dlq"))
            .attempts(Attempts::Exactly(ATTEMPTS_MAX))
            .property(DlqRouting::default())
            .ported_host("reader", reader)
            .ported_host("writer", writer)
    })
}

/// Reads notes, and knows nothing that cannot be read.
async fn other_reader(host: Host) -> Result<(), String> {
    let subscribed = host.broker().subscribe("others", &["notes"]).await;
    let mut notes = subscribed.map_err(|e| e.to_string())?;
    while let Ok(note) = notes.next().await {
        let text = String::from_utf8_lossy(&note.message().payload).into_owned();
        tracing::info!("read {text}");
        note.ack().await.map_err(|e| e.to_string())?;
    }
    Err("subscription lost".to_owned())
}

#[test]
fn what_is_poison_for_one_group_is_healthy_for_the_others() {
    let seen = reading()
        .with(|system| {
            system
                .group(Group::new("others", &["notes"]))
                .ported_host("other", other_reader)
        })
        .strike("reader", 2, ReceiveFault::Poison { events: 1 })
        .run();
    let poison = String::from_utf8_lossy(POISON);
    assert_eq!(seen.log("notes"), ["a", "b", "c"]);
    assert_eq!(seen.log("readers.dlq"), [poison], "{}", seen.text());
    assert_eq!(seen.said("reader"), ["read a", "read c"]);
    assert_eq!(seen.said("other"), ["read a", "read b", "read c"]);
    assert_eq!(seen.run.bitten, [0]);
    assert_eq!(
        DlqRouting::default().check(&seen.run.history),
        Verdict::Holds
    );
}

#[test]
fn several_of_one_key_become_poison_for_one_group_and_then_it_reads_on() {
    let seen = Stage::new()
        .with(|system| {
            let scribe = |host: Host| async move {
                for (note, key) in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a")] {
                    let note = Message::new("notes", key, note).header(EVENT_ID, note);
                    let published = host.broker().publish(note).await;
                    published.map_err(|e| e.to_string())?;
                }
                idle().await
            };
            system
                .topic("notes", 1)
                .group(Group::new("readers", &["notes"]).dead_letters("readers.dlq"))
                .ported_host("reader", reader)
                .ported_host("scribe", scribe)
        })
        .strike("reader", 1, ReceiveFault::Poison { events: 2 })
        .run();
    let poison = String::from_utf8_lossy(POISON);
    assert_eq!(seen.log("readers.dlq"), [poison.clone(), poison]);
    assert_eq!(seen.said("reader"), ["read b1", "read a3"]);
}

#[test]
fn what_a_group_has_had_before_does_not_become_poison() {
    // The second is handed out twice, of which the strike meets the latter.
    let seen = reading()
        .strike("writer", 2, PublishFault::Poison)
        .strike("reader", 3, ReceiveFault::Poison { events: 1 })
        .run();
    assert_eq!(seen.run.bitten, [0], "{}", seen.text());
    assert_eq!(seen.said("reader"), ["read a", "read c"]);
}

#[test]
fn a_poison_payload_comes_again_until_it_is_parked() {
    let seen = reading().strike("writer", 2, PublishFault::Poison).run();
    let poison = String::from_utf8_lossy(POISON);
    assert_eq!(seen.log("readers.dlq"), [poison], "{}", seen.text());
    assert_eq!(seen.said("reader"), ["read a", "read c"]);
    assert_eq!(seen.run.bitten, [0]);
    assert_eq!(
        DlqRouting::default().check(&seen.run.history),
        Verdict::Holds
    );
    let judged = seen.system.judge(&seen.run.history);
    assert_eq!(
        judged.last(),
        Some(&("dlq-routing".to_owned(), Verdict::Holds))
    );
}
