//! The client and the server together, on a simulated network: what a consumer and a producer
//! experience under each fault of the broker's ports.
//!
//! The core's own rules are tested against a model elsewhere.

mod setting;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stormglass_machine::Machine;
use tokio::time::{Instant, sleep, timeout};

use self::setting::{Setting, Stage, start_broker};
use super::{Broker, BrokerError, PublishError, Subscription};
use crate::broker::{HOST, JetStreamSettings, Profile};
use crate::event::What;
use crate::message::{EVENT_ID, Message, POISON};
use crate::plan::{PublishFault, ReceiveFault, SettleFault};
use crate::world::{CapacityLimit, State, lock};

/// What consumers and producers of a test noted, in order.
type Notes = Arc<Mutex<Vec<String>>>;

fn kafka() -> Profile {
    Profile::kafka()
}

fn jetstream() -> Profile {
    Profile::JetStream(JetStreamSettings {
        message_id_header: EVENT_ID.to_owned(),
        ..JetStreamSettings::default()
    })
}

fn message(key: &str, number: usize) -> Message {
    Message::new("orders", key, format!("{number}")).header(EVENT_ID, &format!("{key}-{number}"))
}

fn note(notes: &Notes, text: impl Into<String>) {
    lock(notes).push(text.into());
}

fn taken(notes: &Notes) -> Vec<String> {
    std::mem::take(&mut *lock(notes))
}

/// Publishes messages in order, each until it is acknowledged, as a relay does.
async fn produce(broker: Broker, key: &'static str, count: usize) {
    for number in 0..count {
        while let Err(error) = broker.publish(message(key, number)).await {
            assert!(matches!(
                error,
                PublishError::Rejected(_) | PublishError::Unknown(_)
            ));
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Subscribes, with patience.
async fn subscribed(broker: &Broker) -> Subscription {
    loop {
        match broker.subscribe("billing", &["orders"]).await {
            Ok(subscription) => return subscription,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Notes and acknowledges whatever comes, and subscribes again after an error.
async fn consume(broker: Broker, notes: Notes) {
    let mut subscription = subscribed(&broker).await;
    loop {
        let delivery = match subscription.next().await {
            Ok(delivery) => delivery,
            Err(_) => {
                subscription = subscribed(&broker).await;
                continue;
            }
        };
        note(&notes, delivery.message().event_id().unwrap_or_default());
        if let Err(error) = delivery.ack().await {
            note(&notes, error.to_string());
        }
    }
}

fn consumer(
    notes: &Notes,
) -> impl Fn(Broker) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync + 'static {
    let notes = notes.clone();
    move |broker| Box::pin(consume(broker, notes.clone()))
}

fn expected(key: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{key}-{number}")).collect()
}

#[test]
fn everything_arrives_once_and_in_order_without_faults() {
    for profile in [kafka(), jetstream()] {
        let notes = Notes::default();
        let ran = Setting::new(profile)
            .host("producer", |broker| produce(broker, "a", 40))
            .host("consumer", consumer(&notes))
            .run();
        assert_eq!(taken(&notes), expected("a", 40), "{}", ran.timeline());
        assert_eq!(ran.backlog, None);
        assert_eq!(
            ran.count(|what| matches!(what, What::PublishAcknowledged { .. })),
            40
        );
        assert_eq!(ran.count(|what| matches!(what, What::Settled { .. })), 40);
        assert_eq!(
            ran.count(|what| matches!(what, What::LeaseExpired { .. })),
            0
        );
    }
}

fn outage(profile: Profile) -> Setting {
    Setting::new(profile)
        .at(200, |machine, stage| {
            stage.world.hosts.kill(&HOST.into());
            machine.kill(HOST);
            stage.broker.crash();
        })
        .at(2_000, start_broker)
}

#[test]
fn nothing_acknowledged_is_lost_in_an_outage_of_the_broker() {
    for profile in [kafka(), jetstream()] {
        let notes = Notes::default();
        let setting = outage(profile);
        let ran = setting
            .host("producer", |broker| produce(broker, "a", 60))
            .host("consumer", consumer(&notes))
            .run();
        let mut arrived = taken(&notes);
        arrived.retain(|note| note.starts_with("a-"));
        let mut first_times = Vec::new();
        for id in arrived {
            if !first_times.contains(&id) {
                first_times.push(id);
            }
        }
        assert_eq!(first_times, expected("a", 60), "{}", ran.timeline());
        assert_eq!(ran.backlog, None);
        let refused = |what: &What| matches!(what, What::PublishRejected { .. });
        assert!(ran.count(refused) > 0, "the outage was noticed");
    }
}

#[test]
fn runs_repeat_bit_for_bit() {
    let run = || {
        let notes = Notes::default();
        outage(kafka())
            .host("producer", |broker| produce(broker, "a", 30))
            .host("second", |broker| produce(broker, "b", 30))
            .host("consumer", consumer(&notes))
            .host("other", consumer(&notes))
            .run()
    };
    #[expect(clippy::disallowed_methods, reason = "a run has a fresh thread")]
    let run = || std::thread::spawn(run).join().expect("the run ends");
    let (first, second) = (run(), run());
    let (one, other) = (first.timeline(), second.timeline());
    let diverging = one
        .lines()
        .zip(other.lines())
        .find(|(one, other)| one != other);
    assert_eq!(diverging, None);
    assert_eq!(first.history.digest(), second.history.digest());
}

#[test]
fn lost_acknowledgement_leaves_the_outcome_unknown() {
    let notes = Notes::default();
    let own = notes.clone();
    let ran = Setting::new(kafka())
        .strike("producer", 1, PublishFault::AckLost)
        .host("producer", move |broker| {
            let notes = own.clone();
            async move {
                let began = Instant::now();
                let outcome = broker.publish(message("a", 0)).await;
                assert!(
                    matches!(outcome, Err(PublishError::Unknown(_))),
                    "{outcome:?}"
                );
                note(&notes, format!("after {} s", began.elapsed().as_secs()));
            }
        })
        .run();
    assert_eq!(taken(&notes), ["after 1 s"]);
    assert_eq!(ran.bitten, [0]);
    assert_eq!(ran.count(|what| matches!(what, What::Published { .. })), 1);
    assert_eq!(
        ran.count(|what| matches!(what, What::PublishUnknown { .. })),
        1
    );
}

#[test]
fn poisoned_payload_keeps_key_and_headers() {
    let ran = Setting::new(jetstream())
        .strike("producer", 2, PublishFault::Poison)
        .host("producer", |broker| produce(broker, "a", 3))
        .run();
    assert_eq!(ran.bitten, [0]);
    let mut poisoned = ran
        .history
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Published { message, .. } if message.payload == POISON => Some(message),
            _ => None,
        });
    assert_eq!(
        poisoned.next().and_then(|message| message.event_id()),
        Some("a-1")
    );
    assert!(poisoned.next().is_none());
}

#[test]
fn duplicate_comes_again_within_the_profile() {
    for (profile, refused) in [(kafka(), true), (jetstream(), false)] {
        let notes = Notes::default();
        let ran = Setting::new(profile)
            .strike("consumer", 2, SettleFault::Duplicate)
            .host("producer", |broker| produce(broker, "a", 4))
            .host("consumer", consumer(&notes))
            .run();
        let notes = taken(&notes);
        assert_eq!(ran.bitten, [0]);
        assert_eq!(ran.backlog, None);
        let ids: Vec<&String> = notes.iter().filter(|note| note.starts_with("a-")).collect();
        assert_eq!(
            ids.iter().filter(|id| **id == "a-1").count(),
            2,
            "{}",
            ran.timeline()
        );
        assert_eq!(
            ids.len() < notes.len(),
            refused,
            "only Kafka tells the application"
        );
    }
}

#[test]
fn late_acknowledgement_is_too_late_or_counts() {
    let run = |delay_ms| {
        let notes = Notes::default();
        let ran = Setting::new(jetstream())
            .strike("consumer", 1, SettleFault::Delay { delay_ms })
            .host("producer", |broker| produce(broker, "a", 2))
            .host("consumer", consumer(&notes))
            .run();
        assert_eq!(ran.bitten, [0]);
        assert_eq!(ran.backlog, None);
        taken(&notes)
    };
    assert_eq!(run(1_000), ["a-0", "a-1"]);
    assert_eq!(run(4_000), ["a-0", "a-0", "a-1"]);
}

#[test]
fn held_back_delivery_is_overtaken_as_far_as_the_profile_allows() {
    static KEYS: [&str; 4] = ["a", "b", "c", "d"];
    let run = |profile| {
        let notes = Notes::default();
        let ran = Setting::new(profile)
            .strike("consumer", 1, ReceiveFault::Reorder { hold_ms: 2_000 })
            .host("producer", move |broker| async move {
                for number in 0..3 {
                    for key in KEYS {
                        produce_one(&broker, key, number).await;
                    }
                }
            })
            .host("consumer", consumer(&notes))
            .run();
        assert_eq!(ran.bitten, [0], "{}", ran.timeline());
        assert_eq!(ran.backlog, None);
        (taken(&notes), ran.first_delivered())
    };
    // One subscriber gets a partition in order, however many of its messages may be open.
    let many_open = Profile::JetStream(JetStreamSettings {
        max_ack_pending: 8,
        ..JetStreamSettings::default()
    });
    for profile in [kafka(), jetstream(), many_open] {
        let (notes, first) = run(profile);
        assert_eq!(notes.len(), 12);
        assert_ne!(notes.first(), first.as_ref(), "it was held back");
        for key in KEYS {
            let own: Vec<&String> = notes.iter().filter(|note| note.starts_with(key)).collect();
            assert_eq!(
                own,
                expected(key, 3).iter().collect::<Vec<_>>(),
                "order of a key"
            );
        }
    }
}

async fn produce_one(broker: &Broker, key: &str, number: usize) {
    let published = broker.publish(message(key, number)).await;
    assert!(published.is_ok(), "{published:?}");
}

#[test]
fn paused_kafka_consumer_is_expelled_and_fenced() {
    let (first, second) = (Notes::default(), Notes::default());
    let own = first.clone();
    let ran = Setting::new(kafka())
        .host("zombie", move |broker| {
            let notes = own.clone();
            async move {
                let mut subscription = subscribed(&broker).await;
                let delivery = subscription.next().await.expect("the first delivery");
                // The nemesis stops the host here, and the application notices nothing.
                sleep(Duration::from_millis(500)).await;
                let outcome = delivery.ack().await;
                assert!(
                    matches!(outcome, Err(BrokerError::Fenced(_))),
                    "{outcome:?}"
                );
                let next = subscription.next().await.err();
                assert!(matches!(next, Some(BrokerError::Fenced(_))), "{next:?}");
                note(&notes, "fenced");
            }
        })
        .host("heir", {
            let notes = second.clone();
            move |broker| {
                let notes = notes.clone();
                async move {
                    sleep(Duration::from_secs(2)).await;
                    consume(broker, notes).await;
                }
            }
        })
        .host("producer", |broker| produce(broker, "a", 3))
        .at(400, |machine, stage| {
            stage
                .world
                .hosts
                .pause(&"zombie".into(), 0, Duration::from_millis(8_400));
            machine.pause("zombie");
        })
        .at(8_400, |machine, _| machine.unpause("zombie"))
        .run();
    assert_eq!(taken(&first), ["fenced"], "{}", ran.timeline());
    assert_eq!(taken(&second), expected("a", 3));
    assert_eq!(ran.backlog, None);
}

#[test]
fn retried_message_comes_first_and_nothing_overtakes_it() {
    for profile in [kafka(), jetstream()] {
        let notes = Notes::default();
        let own = notes.clone();
        let ran = Setting::new(profile)
            .host("producer", |broker| produce(broker, "a", 5))
            .host("consumer", move |broker| {
                let notes = own.clone();
                async move {
                    sleep(Duration::from_millis(500)).await;
                    let mut subscription = subscribed(&broker).await;
                    let mut asked = Instant::now();
                    for place in 0..6 {
                        let delivery = subscription.next().await.expect("a delivery");
                        note(&notes, delivery.message().event_id().unwrap_or_default());
                        if place == 1 {
                            asked = Instant::now();
                            let retried = delivery.retry(Duration::from_millis(700)).await;
                            assert_eq!(retried, Ok(()));
                        } else {
                            let waited = asked.elapsed() >= Duration::from_millis(700);
                            assert!(place != 2 || waited, "not before its time");
                            assert_eq!(delivery.ack().await, Ok(()));
                        }
                    }
                }
            })
            .run();
        let order = ["a-0", "a-1", "a-1", "a-2", "a-3", "a-4"];
        assert_eq!(taken(&notes), order, "{}", ran.timeline());
        assert_eq!(ran.backlog, None);
    }
}

#[test]
fn abandoned_waits_lose_no_delivery() {
    for profile in [kafka(), jetstream()] {
        let notes = Notes::default();
        let own = notes.clone();
        let ran = Setting::new(profile)
            .host("producer", |broker| produce(broker, "a", 20))
            .host("consumer", move |broker| {
                let notes = own.clone();
                async move {
                    let mut subscription = subscribed(&broker).await;
                    loop {
                        let wait = timeout(Duration::from_millis(3), subscription.next());
                        if let Ok(delivery) = wait.await {
                            let delivery = delivery.expect("no fault, no error");
                            note(&notes, delivery.message().event_id().unwrap_or_default());
                            assert_eq!(delivery.ack().await, Ok(()));
                        }
                    }
                }
            })
            .run();
        assert_eq!(taken(&notes), expected("a", 20), "{}", ran.timeline());
    }
}

#[test]
fn silent_partition_is_noticed_and_survived() {
    for profile in [kafka(), jetstream()] {
        let notes = Notes::default();
        let ran = Setting::new(profile)
            .host("producer", |broker| produce(broker, "a", 60))
            .host("consumer", consumer(&notes))
            .at(200, |machine, _| {
                machine.cut("producer", HOST);
                machine.cut(HOST, "producer");
                machine.cut("consumer", HOST);
            })
            .at(4_000, |machine, _| {
                machine.mend("producer", HOST);
                machine.mend(HOST, "producer");
                machine.mend("consumer", HOST);
            })
            .run();
        assert_eq!(ran.backlog, None, "{}", ran.timeline());
        assert!(ran.count(|what| matches!(what, What::PublishUnknown { .. })) > 0);
        assert!(ran.count(|what| matches!(what, What::PublishRejected { .. })) > 0);
        let notes = taken(&notes);
        assert!(expected("a", 60).iter().all(|id| notes.contains(id)));
    }
}

/// The broker refuses every publish because of a fault, or takes them again.
fn limited(fault: Option<usize>) -> impl Fn(&Machine<'_>, &Stage) + Send {
    let per_minute = 0;
    let capacity_limit = fault.map(|fault| CapacityLimit { fault, per_minute });
    move |_, stage| {
        stage.world.conditions.set(State {
            capacity_limit,
            ..State::default()
        });
    }
}

#[test]
fn capacity_limit_refuses_and_says_so() {
    let ran = Setting::new(kafka())
        .host("producer", |broker| produce(broker, "a", 60))
        .at(100, limited(Some(3)))
        .at(1_000, limited(None))
        .run();
    assert!(ran.count(|what| matches!(what, What::PublishRejected { .. })) > 0);
    assert_eq!(
        ran.count(|what| matches!(what, What::PublishAcknowledged { .. })),
        60
    );
    assert_eq!(ran.bitten, [3]);
}

#[test]
fn ports_can_be_used_from_any_task() {
    fn sendable<T: Send>(_: &T) {}
    async fn uses(broker: Broker) {
        let mut subscription = subscribed(&broker).await;
        if let Ok(delivery) = subscription.next().await {
            let _settled = delivery.retry(Duration::ZERO).await;
        }
        if let Ok(delivery) = subscription.next().await {
            let _settled = delivery.ack().await;
        }
        let _published = broker.publish(Message::default()).await;
    }
    fn shared<T: Clone + Send + Sync>(_: fn(T)) {}
    shared(|_: Broker| {});
    let _check = |broker: Broker| sendable(&uses(broker));
}

#[test]
fn waiting_consumer_is_served_at_once_and_former_memberships_take_nothing() {
    for profile in [kafka(), jetstream()] {
        let notes = Notes::default();
        let own = notes.clone();
        let ran = Setting::new(profile)
            .host("consumer", move |broker| {
                let notes = own.clone();
                async move {
                    drop(subscribed(&broker).await);
                    consume(broker, notes).await;
                }
            })
            .host("producer", |broker| async move {
                sleep(Duration::from_millis(300)).await;
                for key in ["a", "b", "c", "d"] {
                    produce_one(&broker, key, 0).await;
                }
            })
            .run();
        assert_eq!(taken(&notes).len(), 4);
        let mut published = Vec::new();
        for event in &ran.history.events {
            match &event.what {
                What::Published { position, .. } => published.push((position, event.at)),
                What::Delivered { position, .. } => {
                    let found = published.iter().find(|(own, _)| *own == position);
                    let waited = event.at - found.expect("published before delivered").1;
                    let bound = Duration::from_millis(300);
                    assert!(waited < bound, "{}", ran.timeline());
                }
                _ => {}
            }
        }
    }
}
