//! What operators rely on: replays, several relays, and what is forgotten in time.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::consumer::{self, Effect, Failure, Handler, Prepared};
use reference_system::correlation::Correlation;
use reference_system::database::Database;
use reference_system::dead_letter::audit::Mandate;
use reference_system::dead_letter::parked::Filter;
use reference_system::dead_letter::{GiveUp, Park, Refused};
use reference_system::event::Event;

use reference_system::order::{OrderDesk, Orders, Readdress};
use reference_system::ports::broker::{Broker, InProcessBroker, Message};
use reference_system::replay::{Origin, Replayed, replay};
use reference_system::retention::{Retention, purge};
use reference_system::{Environment, Settings, inventory, order};
use sqlx::AnyConnection;
use uuid::{NoContext, Timestamp, Uuid};

use super::system::{
    Patience, database, environment, event, execute, fast, rows, spawn, spawn_relay, stock,
};
use super::{placed, placed_orders};

#[tokio::test]
async fn what_is_replayed_takes_effect_once_and_in_its_order() {
    let (orders, stocks) = (
        database(order::schema).await,
        database(inventory::schema).await,
    );
    inventory::restock(&stocks, "tea", 10).await.unwrap();
    let broker = InProcessBroker::new();
    let desk = OrderDesk::new(environment(&orders, &broker));
    let ids = placed_orders(&desk, 1).await;
    // The first copy is damaged on its way, and the relay takes it for sent.
    let headers = rows(&orders, "SELECT headers FROM outbox").await;
    let damaged = Message {
        topic: "orders".to_owned(),
        key: ids[0].clone(),
        headers: serde_json::from_str(&headers[0][0]).unwrap(),
        payload: b"{ not json".to_vec(),
    };
    execute(&orders, "UPDATE outbox SET sent = 1").await;
    broker.publish(damaged).await.unwrap();
    spawn(inventory::consumer(environment(&stocks, &broker)));
    spawn_relay("relay", vec![orders.clone()], &broker);
    let parked = async || rows(&stocks, "SELECT event_id FROM parked").await.len();
    Patience::until("the order is parked", async || parked().await == 1).await;
    let chain = Correlation::at_ingress(None);
    desk.cancel(&ids[0], chain).await.unwrap();
    Patience::until("so is what follows", async || parked().await == 2).await;

    let origins = [Origin {
        topic: "orders",
        database: orders.clone(),
    }];
    let all = Filter::default();
    let mandate = Mandate {
        who: "ada".to_owned(),
        why: "the cause is gone".to_owned(),
    };
    let replayed = async || replay("inventory", &stocks, &origins, &all, &mandate).await;
    let both = Replayed {
        events: 2,
        ..Replayed::default()
    };
    assert_eq!(replayed().await.unwrap(), both);
    Patience::until("nothing is parked", async || parked().await == 0).await;
    let journal = "SELECT effect FROM journal WHERE cause_id IS NOT NULL ORDER BY position";
    let effects = [["stock reserved"], ["stock released"]];
    assert_eq!(rows(&stocks, journal).await, effects);
    assert_eq!(stock(&stocks, "tea").await, (10, 0, 0));
    assert_eq!(replayed().await.unwrap(), Replayed::default());
    assert_eq!(rows(&stocks, journal).await, effects);
}

#[tokio::test]
async fn several_relays_publish_each_row_once_and_in_the_order_of_its_key() {
    let database = database(order::schema).await;
    let broker = InProcessBroker::new();
    let desk = OrderDesk::new(environment(&database, &broker));
    for name in ["relay", "relay-2", "relay-3"] {
        spawn_relay(name, vec![database.clone()], &broker);
    }
    let ids = placed_orders(&desk, 5).await;
    for version in 1..=3 {
        for id in &ids {
            let change = Readdress {
                address: format!("Mill Lane {version}"),
                version,
                idempotency_key: None,
            };
            let chain = Correlation::at_ingress(None);
            desk.readdress(id, change, chain).await.unwrap();
        }
    }
    let unsent = "SELECT event_id FROM outbox WHERE sent = 0";
    Patience::until("all are sent", async || {
        rows(&database, unsent).await.is_empty()
    })
    .await;
    let published = broker.published("orders");
    assert_eq!(published.len(), 20);
    for id in &ids {
        let own = published.iter().filter(|message| message.key == *id);
        let own: Vec<String> = own
            .map(|message| Event::decode(message).unwrap().id.to_string())
            .collect();
        let rows = rows(
            &database,
            "SELECT partition_key, event_id FROM outbox ORDER BY position",
        );
        let rows = rows.await.into_iter().filter(|row| row[0] == *id);
        assert_eq!(own, rows.map(|row| row[1].clone()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_what_could_be_an_old_copy_is_parked() {
    let stocks = database(inventory::schema).await;
    inventory::restock(&stocks, "tea", 10).await.unwrap();
    let broker = InProcessBroker::new();
    let settings = Settings {
        retention: Retention {
            handled: Duration::from_secs(60),
            ..Retention::default()
        },
        ..fast()
    };
    spawn(inventory::consumer(Environment {
        settings,
        ..environment(&stocks, &broker)
    }));
    let young = event("order-1", placed());
    let old = Event {
        id: Uuid::new_v7(Timestamp::from_unix(NoContext, 1_000_000_000, 0)),
        ..event("order-2", placed())
    };
    for event in [&young, &old] {
        let message = event.encode(event.entity.clone());
        broker.publish(message).await.unwrap();
    }
    let reserved = async || stock(&stocks, "tea").await == (8, 2, 0);
    Patience::until("the young one is reserved", reserved).await;
    let parked = "SELECT entity, error FROM parked";
    Patience::until("the old one is parked", async || {
        !rows(&stocks, parked).await.is_empty()
    })
    .await;
    let parked = rows(&stocks, parked).await;
    assert_eq!(parked[0][0], "order-2");
    assert!(parked[0][1].contains("older than the deduplication window"));

    let known = async || {
        rows(&stocks, "SELECT event_id FROM processed_events")
            .await
            .len()
    };
    purge(&stocks, &settings.retention).await.unwrap();
    assert_eq!(known().await, 2, "they are younger than the window");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let nothing = Retention {
        sent: Duration::ZERO,
        handled: Duration::ZERO,
        ..settings.retention
    };
    execute(&stocks, "UPDATE outbox SET sent = 1, sent_at_ms = 0").await;
    purge(&stocks, &nothing).await.unwrap();
    assert_eq!(known().await, 0);
    assert!(
        rows(&stocks, "SELECT event_id FROM outbox")
            .await
            .is_empty()
    );
}

/// A consumer that stands still before it applies an event, until another one has parked it.
struct Overtaken {
    broker: InProcessBroker,
    /// What the other one parks, if not the event itself: an earlier one of its entity.
    earlier: Option<&'static str>,
}

#[async_trait]
impl Handler for Overtaken {
    fn consumer(&self) -> &'static str {
        "inventory"
    }

    fn topics(&self) -> &'static [&'static str] {
        &["orders"]
    }

    fn handles(&self) -> &'static [&'static str] {
        &["order.placed"]
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let own = event.id.to_string();
        let refused = Refused {
            consumer: self.consumer(),
            message: &event.encode(event.entity.clone()),
            event_id: self.earlier.unwrap_or(&own),
            entity: &event.entity,
            attempts: 5,
            error: "given up elsewhere",
        };
        Park.give_up(database, &self.broker, refused).await?;
        Ok(Box::new(TooLate))
    }
}

/// An effect that comes too late.
struct TooLate;

#[async_trait]
impl Prepared for TooLate {
    async fn apply(self: Box<Self>, _: &mut AnyConnection, _: &Event) -> Result<Effect, Failure> {
        Ok(Effect::Applied {
            effect: "applied all the same",
            announces: None,
        })
    }
}

#[tokio::test]
async fn what_was_parked_meanwhile_is_not_applied() {
    nothing_is_applied_past_what_was_parked_meanwhile(None).await;
}

#[tokio::test]
async fn what_follows_an_event_that_was_parked_meanwhile_is_not_applied() {
    nothing_is_applied_past_what_was_parked_meanwhile(Some("an earlier event")).await;
}

async fn nothing_is_applied_past_what_was_parked_meanwhile(earlier: Option<&'static str>) {
    let stocks = database(inventory::schema).await;
    let broker = InProcessBroker::new();
    let overtaken = Overtaken {
        broker: broker.clone(),
        earlier,
    };
    spawn(consumer::run(
        environment(&stocks, &broker),
        Box::new(overtaken),
    ));
    let first = event("order-1", placed());
    broker
        .publish(first.encode("order-1".to_owned()))
        .await
        .unwrap();
    let parked = "SELECT event_id FROM parked WHERE published = 1";
    let already = usize::from(earlier.is_some());
    Patience::until("the event is parked", async || {
        rows(&stocks, parked).await.len() == 1 + already
    })
    .await;
    // What follows is parked behind it once the first one is settled.
    let second = event("order-1", placed());
    broker
        .publish(second.encode("order-1".to_owned()))
        .await
        .unwrap();
    Patience::until("so is what follows", async || {
        rows(&stocks, parked).await.len() == 2 + already
    })
    .await;
    assert!(rows(&stocks, "SELECT effect FROM journal").await.is_empty());
    assert_eq!(broker.published("inventory.dlq").len(), 2 + already);
}
