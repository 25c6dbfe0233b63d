//! The simulated broker: publishing under faults, late settlements, and what becomes of a message that nobody can read.

use std::time::Duration;

use stormglass::checker::{DlqRouting, Property, Verdict};
use stormglass::history::{SettleOutcome, What};
use stormglass::plan::{Call, Incident, PublishFault, ReceiveFault, Side};
use stormglass::{
    Attempts, Broker, Delivery, EVENT_ID, Group, Machine, Message, POISON, Profile, PublishError,
    System,
};
use tokio::time::sleep;

use super::{Seen, Stage, crash, idle};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Publishes at 0, 1 and 2 seconds, and says how each went.
async fn producer(machine: Machine) -> Outcome {
    if machine.incarnation() > 1 {
        return idle().await;
    }
    let broker = Broker::connect();
    for payload in ["one", "two", "three"] {
        let published = broker.publish(Message::new("notes", "", payload));
        match published.await {
            Ok(_) => tracing::info!("{payload} acknowledged"),
            Err(PublishError::Rejected(_)) => tracing::info!("{payload} rejected"),
            Err(PublishError::Unpublishable(_)) => tracing::info!("{payload} unpublishable"),
            Err(PublishError::Unknown(_)) => tracing::info!("{payload} unknown"),
        }
        sleep(Duration::from_secs(1)).await;
    }
    idle().await
}

fn producing() -> Stage {
    let system = System::new("notes").topic("notes", 1);
    Stage::of(system.host("producer", producer))
}

fn check(seen: &Seen, log: &[&str], said: &[&str]) {
    assert_eq!(seen.log("notes"), log, "{}", seen.text());
    assert_eq!(seen.said("producer"), said, "{}", seen.text());
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
        .at_ms(500, Incident::capacity_used_up(1_000))
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

/// Publishes one event every second until the broker takes it, and says how each try went.
async fn stubborn(_: Machine) -> Outcome {
    let broker = Broker::connect();
    let message = Message::new("notes", "", "note").header(EVENT_ID, "n1");
    loop {
        match broker.publish(message.clone()).await {
            Ok(_) => break tracing::info!("acknowledged"),
            Err(error) => tracing::info!("{error}"),
        }
        sleep(Duration::from_secs(1)).await;
    }
    idle().await
}

#[test]
fn an_event_that_is_too_large_is_refused_until_the_limit_is_raised() {
    let system = System::new("notes").topic("notes", 1);
    let seen = Stage::of(system.host("producer", stubborn))
        .strike("producer", 1, PublishFault::TooLarge { for_ms: 1_500 })
        .run();
    let refused = "publish: unpublishable: message too large";
    check(&seen, &["note"], &[refused, refused, "acknowledged"]);
    let bites = seen.count(|event| matches!(event.what, What::FaultBit { .. }));
    assert_eq!(bites, 1, "{}", seen.text());
}

#[test]
fn what_carries_no_event_id_is_never_too_large() {
    let seen = producing()
        .strike("producer", 2, PublishFault::TooLarge { for_ms: 1_500 })
        .run_biting(&[]);
    check(
        &seen,
        &["one", "two", "three"],
        &["one acknowledged", "two acknowledged", "three acknowledged"],
    );
    let bites = seen.count(|event| matches!(event.what, What::FaultBit { .. }));
    assert_eq!(bites, 0, "{}", seen.text());
}

#[test]
fn a_broker_takes_as_many_as_its_limit_says() {
    let limit = Incident::CapacityLimit {
        for_ms: 10_000,
        per_minute: 2,
    };
    check(
        &producing().at_ms(0, limit).run(),
        &["one", "two"],
        &["one acknowledged", "two acknowledged", "three rejected"],
    );
}

/// Nothing comes through in one direction for longer than a client waits.
fn cut(from: &str, to: &str, at_ms: u64) -> Seen {
    let cut = Incident::OneWayPartition {
        from: from.to_owned(),
        to: to.to_owned(),
        for_ms: 1_600,
    };
    producing().at_ms(at_ms, cut).run()
}

#[test]
fn a_partition_on_the_way_back_hides_what_the_broker_has_done() {
    check(
        &cut("broker", "producer", 600),
        &["one", "two", "three"],
        &["one acknowledged", "two unknown", "three acknowledged"],
    );
}

#[test]
fn a_partition_on_the_way_there_lets_arrive_what_was_sent_when_it_is_over() {
    let seen = cut("producer", "broker", 600);
    check(
        &seen,
        &["one", "two", "three"],
        &["one acknowledged", "two unknown", "three acknowledged"],
    );
    let mut arrivals = seen.of("producer").filter_map(|event| match event.what {
        What::Published { .. } => Some(event.at),
        _ => None,
    });
    let second = arrivals.nth(1).unwrap_or_default();
    assert!(second > Duration::from_millis(2_200), "{second:?}");
}

#[test]
fn a_partition_keeps_from_the_broker_who_is_not_connected_yet() {
    check(
        &cut("producer", "broker", 0),
        &["two", "three"],
        &["one rejected", "two acknowledged", "three acknowledged"],
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
}

/// Publishes three messages, and a fourth from another task that outlives the first.
async fn busy_producer(machine: Machine) -> Outcome {
    if machine.incarnation() > 1 {
        return idle().await;
    }
    let broker = Broker::connect();
    let other = broker.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(700)).await;
        let _ = other.publish(Message::new("notes", "", "late")).await;
    });
    for payload in ["one", "two", "three"] {
        broker.publish(Message::new("notes", "", payload)).await?;
        tracing::info!("{payload} acknowledged");
        sleep(Duration::from_millis(100)).await;
    }
    idle().await
}

fn busy_producing() -> Stage {
    let system = System::new("notes").topic("notes", 1);
    Stage::of(system.host("producer", busy_producer))
}

#[test]
fn a_crash_before_a_publish_keeps_it_from_the_broker() {
    let crashed = |stage: Stage| stage.crash(Side::Before, "producer", Call::Publish, 2);
    let seen = crashed(busy_producing()).run();
    assert_eq!(seen.log("notes"), ["one"]);
    assert_eq!(seen.said("producer"), ["one acknowledged"]);
}

#[test]
fn a_crash_after_a_publish_leaves_it_and_tells_nobody() {
    let crashed = |stage: Stage| stage.crash(Side::After, "producer", Call::Publish, 2);
    let seen = crashed(busy_producing()).run();
    assert_eq!(seen.log("notes"), ["one", "two"]);
    assert_eq!(seen.said("producer"), ["one acknowledged"]);
}

#[test]
fn a_crash_at_a_time_ends_every_task_of_the_host() {
    let seen = busy_producing().at_ms(650, crash("producer", 2_000)).run();
    assert_eq!(seen.log("notes"), ["one", "two", "three"]);
}

/// Publishes one note.
async fn note(machine: Machine) -> Outcome {
    if machine.incarnation() == 1 {
        let note = Message::new("notes", "", "one");
        Broker::connect().publish(note).await?;
    }
    idle().await
}

/// Takes a second to handle a message, and says how its settlement went.
async fn slow_worker(_: Machine) -> Outcome {
    loop {
        let mut notes = Broker::connect().subscribe("workers", &["notes"]).await?;
        while let Ok(note) = notes.next().await {
            sleep(Duration::from_secs(1)).await;
            let attempt = note.attempt();
            match note.ack().await {
                Ok(()) => tracing::info!("acknowledged attempt {attempt}"),
                Err(error) => tracing::info!("attempt {attempt}: {error}"),
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn paused_for_six_seconds(profile: Profile) -> Seen {
    let pause = Incident::Pause {
        host: "worker".to_owned(),
        for_ms: 6_000,
    };
    let system = System::new("notes")
        .broker(profile)
        .topic("notes", 1)
        .group(Group::new("workers", &["notes"]))
        .host("producer", note)
        .host("worker", slow_worker);
    Stage::of(system)
        .on(Side::After, "worker", Call::Receive, 1, pause)
        .run()
}

fn settlements(seen: &Seen) -> Vec<SettleOutcome> {
    let settled = |what: &What| match what {
        What::Settled { outcome, .. } => Some(*outcome),
        _ => None,
    };
    let events = seen.0.events.iter();
    events.filter_map(|event| settled(&event.what)).collect()
}

#[test]
fn a_paused_consumer_wakes_up_fenced_on_kafka() {
    let seen = paused_for_six_seconds(Profile::kafka());
    let expected = [SettleOutcome::Fenced, SettleOutcome::Accepted];
    assert_eq!(settlements(&seen), expected, "{}", seen.text());
    assert_eq!(seen.said("worker").last(), Some(&"acknowledged attempt 2"));
}

#[test]
fn a_late_acknowledgement_counts_on_jetstream() {
    let seen = paused_for_six_seconds(Profile::jetstream());
    let expired = seen.count(|event| matches!(event.what, What::LeaseExpired { .. }));
    assert!(expired > 0, "{}", seen.text());
    let first = settlements(&seen).first().copied();
    assert_eq!(first, Some(SettleOutcome::Accepted), "{}", seen.text());
}

/// After how many attempts the reader parks what it cannot read.
const ATTEMPTS_MAX: u32 = 3;

/// Reads notes, and parks those that are not text.
async fn reader(_: Machine) -> Outcome {
    let broker = Broker::connect();
    let mut notes = broker.subscribe("readers", &["notes"]).await?;
    loop {
        let note = notes.next().await?;
        match std::str::from_utf8(&note.message().payload) {
            Ok(text) => tracing::info!("read {text}"),
            Err(_) if note.attempt() < ATTEMPTS_MAX => {
                note.retry(Duration::from_millis(50)).await?;
                continue;
            }
            Err(error) => park(&broker, &note, error).await?,
        }
        note.ack().await?;
    }
}

async fn park(
    broker: &Broker,
    note: &Delivery,
    error: std::str::Utf8Error,
) -> Result<(), PublishError> {
    let mut parked = note.message().clone();
    parked.topic = "readers.dlq".to_owned();
    let parked = parked.header("error", &error.to_string());
    broker.publish(parked).await.map(drop)
}

/// Publishes notes with ids, by their keys.
async fn write(machine: Machine, notes: &[(&str, &str)]) -> Outcome {
    for (note, key) in notes {
        if machine.incarnation() > 1 {
            break;
        }
        let note = Message::new("notes", key, *note).header(EVENT_ID, note);
        Broker::connect().publish(note).await?;
    }
    idle().await
}

fn reading() -> System {
    System::new("notes")
        .topic("notes", 1)
        .group(Group::new("readers", &["notes"]).dead_letters("readers.dlq"))
        .attempts(Attempts::Exactly(ATTEMPTS_MAX))
        .property(DlqRouting::default())
        .host("reader", reader)
        .host("writer", |machine| async move {
            write(machine, &[("a", "a"), ("b", "b"), ("c", "c")]).await
        })
}

/// Reads notes, and knows nothing that cannot be read.
async fn other_reader(_: Machine) -> Outcome {
    let mut notes = Broker::connect().subscribe("others", &["notes"]).await?;
    loop {
        let note = notes.next().await?;
        let text = String::from_utf8_lossy(&note.message().payload).into_owned();
        tracing::info!("read {text}");
        note.ack().await?;
    }
}

#[test]
fn what_is_poison_for_one_group_is_healthy_for_the_others() {
    let system = reading()
        .group(Group::new("others", &["notes"]))
        .host("other", other_reader);
    let seen = Stage::of(system)
        .strike("reader", 2, ReceiveFault::Poison { events: 1 })
        .run();
    let poison = String::from_utf8_lossy(POISON);
    assert_eq!(seen.log("notes"), ["a", "b", "c"]);
    assert_eq!(seen.log("readers.dlq"), [poison], "{}", seen.text());
    assert_eq!(seen.said("reader"), ["read a", "read c"]);
    assert_eq!(seen.said("other"), ["read a", "read b", "read c"]);
    assert_eq!(DlqRouting::default().check(&seen.0), Verdict::Holds);
}

#[test]
fn several_of_one_key_become_poison_for_one_group_and_then_it_reads_on() {
    let notes = [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a")];
    let system = System::new("notes")
        .topic("notes", 1)
        .group(Group::new("readers", &["notes"]).dead_letters("readers.dlq"))
        .host("reader", reader)
        .host("scribe", move |machine| async move {
            write(machine, &notes).await
        });
    let seen = Stage::of(system)
        .strike("reader", 1, ReceiveFault::Poison { events: 2 })
        .run();
    let poison = String::from_utf8_lossy(POISON);
    assert_eq!(seen.log("readers.dlq"), [poison.clone(), poison]);
    assert_eq!(seen.said("reader"), ["read b1", "read a3"]);
}

#[test]
fn what_a_group_has_had_before_does_not_become_poison() {
    // The second is handed out twice, of which the strike meets the latter.
    let seen = Stage::of(reading())
        .strike("writer", 2, PublishFault::Poison)
        .strike("reader", 3, ReceiveFault::Poison { events: 1 })
        .run_biting(&[0]);
    assert_eq!(seen.said("reader"), ["read a", "read c"]);
}

#[test]
fn a_poison_payload_comes_again_until_it_is_parked() {
    let seen = Stage::of(reading())
        .strike("writer", 2, PublishFault::Poison)
        .run();
    let poison = String::from_utf8_lossy(POISON);
    assert_eq!(seen.log("readers.dlq"), [poison], "{}", seen.text());
    assert_eq!(seen.said("reader"), ["read a", "read c"]);
    assert_eq!(DlqRouting::default().check(&seen.0), Verdict::Holds);
}
