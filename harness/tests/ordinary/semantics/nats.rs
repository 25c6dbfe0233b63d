//! Publishes, deliveries and settlements at a NATS server.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull, stream};
use futures::TryStreamExt;
use stormglass::history::What;
use stormglass::plan::{Call, Incident, PublishFault, ReceiveFault, SettleFault, Side};
use stormglass::{Group, POISON, System};

use super::{Seen, Stage};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn notes() -> Result<(jetstream::Context, stream::Stream)> {
    let jetstream = jetstream::new(async_nats::connect("nats://nats").await?);
    let config = stream::Config {
        name: "notes".to_owned(),
        ..stream::Config::default()
    };
    let stream = jetstream.get_or_create_stream(config).await?;
    Ok((jetstream, stream))
}

/// Publishes three notes, and says which of them were acknowledged.
async fn producer() -> Result<()> {
    let (jetstream, _) = notes().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for note in ["one", "two", "three"] {
        let published = jetstream.publish("notes", note.into()).await?;
        match published.await {
            Ok(_) => tracing::info!("published {note}"),
            Err(_) => tracing::info!("not heard of {note}"),
        }
    }
    std::future::pending().await
}

/// Acknowledges what it gets, and says what that was.
async fn consumer() -> Result<()> {
    let (_, stream) = notes().await?;
    let config = pull::Config {
        durable_name: Some("reader".to_owned()),
        ack_wait: Duration::from_secs(1),
        ..pull::Config::default()
    };
    let consumer = stream.get_or_create_consumer("reader", config).await?;
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.try_next().await? {
        match &*message.payload {
            POISON => tracing::info!("got poison"),
            payload => tracing::info!("got {}", String::from_utf8_lossy(payload)),
        }
        message.ack().await?;
    }
    Ok(())
}

fn run(disturb: impl FnOnce(Stage) -> Stage) -> Seen {
    let system = System::new("notes")
        .nats("nats")
        .host("producer", |_| producer())
        .host("consumer", |_| consumer())
        .group(Group::new("reader", &["notes"]));
    disturb(Stage::of(system)).run()
}

fn published(seen: &Seen) -> usize {
    seen.count(|event| matches!(event.what, What::Published { .. }))
}

#[test]
fn what_is_published_is_delivered_and_settled_once() {
    let seen = run(|stage| stage);
    assert_eq!(seen.said("consumer"), ["got one", "got two", "got three"]);
    assert_eq!(published(&seen), 3);
    assert_eq!(
        seen.count(|event| matches!(event.what, What::Delivered { .. })),
        3
    );
    assert_eq!(
        seen.count(|event| matches!(event.what, What::Settled { .. })),
        3
    );
}

#[test]
fn a_crash_before_a_publish_keeps_it_from_the_broker() {
    let seen = run(|stage| stage.crash(Side::Before, "producer", Call::Publish, 2));
    // Healed, the producer starts again.
    assert_eq!(
        seen.said("producer")[..2],
        ["published one", "published one"]
    );
    assert_eq!(published(&seen), 4);
}

#[test]
fn a_crash_after_a_publish_leaves_it_and_tells_nobody() {
    let seen = run(|stage| stage.crash(Side::After, "producer", Call::Publish, 2));
    assert_eq!(
        seen.said("producer")[..2],
        ["published one", "published one"]
    );
    assert_eq!(published(&seen), 5);
}

#[test]
fn an_acknowledgement_that_is_lost_leaves_the_message() {
    let seen = run(|stage| stage.strike("producer", 2, PublishFault::AckLost));
    assert_eq!(seen.said("producer")[1], "not heard of two");
    assert_eq!(published(&seen), 3);
}

#[test]
fn a_settlement_without_effect_brings_the_message_again() {
    let seen = run(|stage| stage.strike("consumer", 2, SettleFault::Duplicate));
    let said = seen.said("consumer");
    assert_eq!(
        said.iter().filter(|own| **own == "got two").count(),
        2,
        "{said:?}"
    );
    assert_eq!(said.len(), 4);
}

#[test]
fn a_message_that_is_held_back_is_overtaken() {
    let held = ReceiveFault::Reorder { hold_ms: 500 };
    let seen = run(|stage| stage.strike("consumer", 1, held));
    assert_eq!(seen.said("consumer"), ["got two", "got three", "got one"]);
}

#[test]
fn poison_stays_poison_for_its_group() {
    let poison = ReceiveFault::Poison { events: 1 };
    let seen = run(|stage| stage.strike("consumer", 2, poison));
    assert_eq!(
        seen.said("consumer"),
        ["got one", "got poison", "got three"]
    );
    let seen = run(|stage| stage.strike("producer", 3, PublishFault::Poison));
    assert_eq!(seen.said("consumer"), ["got one", "got two", "got poison"]);
}

#[test]
fn a_broker_that_is_down_for_a_while_has_kept_what_it_had() {
    let outage = Incident::BrokerOutage { for_ms: 1_500 };
    let seen = run(|stage| stage.at_ms(500, outage));
    assert_eq!(seen.said("consumer").len(), 3);
    let crashes = seen.count(|event| *event.host == *"nats" && event.what == What::HostCrashed);
    assert_eq!(crashes, 1);
}

#[test]
fn a_broker_at_its_limit_refuses() {
    let limit = Incident::capacity_used_up(4_000);
    let seen = run(|stage| stage.at_ms(500, limit));
    assert_eq!(published(&seen), 0);
    let refused = seen.count(|event| matches!(event.what, What::PublishRejected { .. }));
    assert_eq!(refused, 3);
}

#[test]
fn a_broker_takes_as_many_as_its_limit_says() {
    let limit = Incident::CapacityLimit {
        for_ms: 4_000,
        per_minute: 2,
    };
    let seen = run(|stage| stage.at_ms(0, limit));
    assert_eq!(published(&seen), 2);
    let refused = seen.count(|event| matches!(event.what, What::PublishRejected { .. }));
    assert_eq!(refused, 1);
}

#[test]
fn a_refusal_that_is_lost_is_known_to_nobody() {
    let limit = Incident::capacity_used_up(20_000);
    let seen = run(|stage| {
        let stage = stage.at_ms(500, limit);
        stage.strike("producer", 2, PublishFault::AckLost)
    });
    assert_eq!(published(&seen), 0);
    let refused = seen.count(|event| matches!(event.what, What::PublishRejected { .. }));
    let unknown = seen.count(|event| matches!(event.what, What::PublishUnknown { .. }));
    assert_eq!((refused, unknown), (2, 1));
}
