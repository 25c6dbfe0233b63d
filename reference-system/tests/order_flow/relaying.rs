//! What a relay leaves to an operator, and what it leaves to the relay that has come after it.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reference_system::correlation::Correlation;
use reference_system::dead_letter::audit::{self, Mandate};
use reference_system::order::{OrderDesk, Orders, Readdress};
use reference_system::ports::broker::{
    Broker, BrokerError, InProcessBroker, Message, PublishError, Subscription,
};
use reference_system::publishing::Direct;
use reference_system::publishing::breaker::BreakerSettings;
use reference_system::relay::{
    Backlog, Columns, HandOffError, OutboxRow, Relay, mark_sent, release, withheld, withhold,
};
use reference_system::{Database, Environment, Settings, order};

use super::placed_orders;
use super::system::{Patience, database, environment, execute, fast, rows, spawn, spawn_relay};

/// A broker that takes no message of some keys, as if they were too large.
#[derive(Clone, Default)]
struct Narrow {
    inner: InProcessBroker,
    refused: Arc<Mutex<BTreeSet<String>>>,
}

#[async_trait]
impl Broker for Narrow {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        if self.refused.lock().unwrap().contains(&message.key) {
            return Err(PublishError::Unpublishable("too large".to_owned()));
        }
        self.inner.publish(message).await
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.inner.subscribe(group, topics).await
    }
}

#[tokio::test]
async fn what_no_broker_takes_waits_for_an_operator_with_its_key_and_no_other() {
    let database = database(order::schema).await;
    let broker = Narrow::default();
    let desk = OrderDesk::new(environment(&database, &broker));
    let ids = placed_orders(&desk, 2).await;
    broker.refused.lock().unwrap().insert(ids[0].clone());
    for id in &ids {
        let change = Readdress {
            address: "Mill Lane 1".to_owned(),
            version: 1,
            idempotency_key: None,
        };
        let chain = Correlation::at_ingress(None);
        desk.readdress(id, change, chain).await.unwrap();
    }
    assert_eq!(Backlog::read(&database).await.unwrap().rows, 4);
    spawn_relay("relay", vec![database.clone()], &broker);
    let keys = || {
        let published = broker.inner.published("orders");
        published.into_iter().map(|message| message.key)
    };
    Patience::until("the other order is out", async || keys().count() == 2).await;
    assert!(keys().all(|key| key == ids[1]));
    Patience::until("the row is withheld", async || {
        Backlog::read(&database).await.unwrap().withheld == 1
    })
    .await;
    assert_eq!(Backlog::read(&database).await.unwrap().rows, 2);
    let aside = withheld(&database).await.unwrap();
    assert_eq!(aside[0].partition_key, ids[0]);
    assert!(aside[0].reason.contains("too large"), "{}", aside[0].reason);

    broker.refused.lock().unwrap().clear();
    let mandate = Mandate {
        who: "ada".to_owned(),
        why: "the limit is raised".to_owned(),
    };
    assert_eq!(release(&database, &mandate).await.unwrap(), 1);
    let entries = audit::latest(&database, 2).await.unwrap();
    let [entry] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!((&*entry.action, &*entry.who), ("release", "ada"));
    assert_eq!(
        (&entry.consumer, &entry.event_id),
        (&aside[0].topic, &aside[0].event_id)
    );
    Patience::until("all are out", async || keys().count() == 4).await;
    let written = rows(&database, "SELECT event_id FROM outbox ORDER BY position").await;
    let published = broker.inner.published("orders");
    let own = published.iter().filter(|message| message.key == ids[0]);
    let own: Vec<&String> = own.map(|message| &message.headers["event-id"]).collect();
    assert_eq!(own, [&written[0][0], &written[2][0]]);
}

/// The one row of an outbox, as it was read under a fence.
async fn row_under(database: &Database, fence: i64) -> OutboxRow {
    let columns: Columns = sqlx::query_as(
        "SELECT position, event_id, topic, partition_key, headers, payload, replays FROM outbox",
    )
    .fetch_one(database.reads())
    .await
    .unwrap();
    OutboxRow::read(columns, fence)
}

#[tokio::test]
async fn a_relay_that_lost_the_outbox_writes_nothing_about_its_rows() {
    let database = database(order::schema).await;
    let desk = OrderDesk::new(environment(&database, &InProcessBroker::new()));
    placed_orders(&desk, 1).await;
    execute(
        &database,
        "INSERT INTO relay_leases (name, owner, until_ms, fence) VALUES ('outbox', 'new', 0, 5)",
    )
    .await;
    let (old, new) = (row_under(&database, 4).await, row_under(&database, 5).await);
    for written in [
        mark_sent(&database, &old).await,
        withhold(&database, &old, "too large").await,
    ] {
        assert!(matches!(written, Err(HandOffError::Fenced)), "{written:?}");
    }
    let untouched = Backlog::read(&database).await.unwrap();
    assert_eq!((untouched.rows, untouched.withheld), (1, 0));
    mark_sent(&database, &new).await.unwrap();
    assert_eq!(Backlog::read(&database).await.unwrap().rows, 0);
}

#[tokio::test]
async fn a_new_life_of_a_relay_raises_the_fence() {
    let database = database(order::schema).await;
    let broker = InProcessBroker::new();
    let desk = OrderDesk::new(environment(&database, &broker));
    for life in 1..=2 {
        spawn_relay("relay", vec![database.clone()], &broker);
        Patience::until("it has the outbox", async || {
            placed_orders(&desk, 1).await;
            let fences = rows(&database, "SELECT fence || '' FROM relay_leases").await;
            fences
                .first()
                .is_some_and(|fence| fence[0] == life.to_string())
        })
        .await;
    }
}

#[tokio::test]
async fn a_relay_keeps_to_its_rate() {
    let database = database(order::schema).await;
    let broker = InProcessBroker::new();
    let desk = OrderDesk::new(environment(&database, &broker));
    placed_orders(&desk, 6).await;
    let settings = Settings {
        relay_rate: NonZeroU32::new(20),
        ..fast()
    };
    let begun = Instant::now();
    let relay = Relay::new("relay", vec![database.clone()], Arc::new(broker));
    spawn(Relay { settings, ..relay }.run());
    Patience::until("everything is published", async || {
        Backlog::read(&database).await.unwrap().rows == 0
    })
    .await;
    // Five gaps lie between six rows.
    assert!(begun.elapsed() >= Duration::from_millis(250));
}

/// A broker that is away, and knows how often it was asked.
#[derive(Clone, Default)]
struct Away {
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Broker for Away {
    async fn publish(&self, _: Message) -> Result<(), PublishError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(PublishError::Rejected("away".to_owned()))
    }

    async fn subscribe(&self, _: &str, _: &[&str]) -> Result<Box<dyn Subscription>, BrokerError> {
        Err(BrokerError::Unavailable("away".to_owned()))
    }
}

#[tokio::test]
async fn direct_publishing_behind_a_breaker_takes_orders_and_leaves_the_broker_alone() {
    let database = database(order::schema).await;
    let broker = Away::default();
    let breaker = BreakerSettings::default();
    let (arc, backoff) = (Arc::new(broker.clone()), fast().backoff);
    let desk = OrderDesk::new(Environment {
        publishing: Arc::new(Direct::guarded(arc, breaker, 3, backoff)),
        ..environment(&database, &broker)
    });
    assert_eq!(placed_orders(&desk, 10).await.len(), 10);
    let asked = broker.asked.load(Ordering::Relaxed);
    assert_eq!(asked as usize, breaker.minimum_volume);
    assert_eq!(Backlog::read(&database).await.unwrap(), Backlog::default());
}
