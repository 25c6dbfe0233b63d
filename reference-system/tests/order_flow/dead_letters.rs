//! What operators do with what is parked: over HTTP, with a token, and written down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reference_system::database::Database;
use reference_system::dead_letter::{GiveUp, Park, Refused};
use reference_system::event::Event;
use reference_system::monitor::{LagThreshold, REAL_TIME};
use reference_system::operations::{self, Services, Token};
use reference_system::ports::broker::{Broker, InProcessBroker, Message};
use reference_system::replay::Origin;
use reference_system::retention::{Retention, purge};
use reference_system::{Shutdown, inventory, order};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::placed;
use super::system::{
    Http, Patience, database, environment, event, execute, rows, spawn, spawn_relay, stock,
};

const AUTHORISED: (&str, &str) = ("authorization", "Bearer open sesame");

/// The inventory, with what it has parked, and its operators.
struct Inventory {
    orders: Database,
    stocks: Database,
    broker: InProcessBroker,
    http: Http,
}

impl Inventory {
    async fn start(token: Option<&str>) -> Self {
        let (orders, stocks) = (
            database(order::schema).await,
            database(inventory::schema).await,
        );
        inventory::restock(&stocks, "tea", 10).await.unwrap();
        let broker = InProcessBroker::new();
        let services = Services {
            consumers: vec![("inventory", stocks.clone())],
            origins: vec![Origin {
                topic: "orders",
                database: orders.clone(),
            }],
            groups: vec![LagThreshold {
                group: "inventory",
                topics: vec!["orders"],
                waiting: REAL_TIME,
            }],
            standings: Arc::new(broker.clone()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = Http(listener.local_addr().unwrap());
        let token = token.and_then(Token::new);
        let serving = operations::serve(listener, services, token, Shutdown::never());
        tokio::spawn(serving);
        Self {
            orders,
            stocks,
            broker,
            http,
        }
    }

    /// Parks an event of this order, as a consumer does, with this error.
    async fn parks(&self, order: &str, error: &str) -> String {
        let event = event(order, placed());
        self.parks_message(&event, event.encode(order.to_owned()), error)
            .await
    }

    async fn parks_message(&self, event: &Event, message: Message, error: &str) -> String {
        let event_id = event.id.to_string();
        let refused = Refused {
            consumer: "inventory",
            message: &message,
            event_id: &event_id,
            entity: &event.entity,
            attempts: 5,
            error,
        };
        Park.give_up(&self.stocks, &self.broker, refused)
            .await
            .unwrap();
        event_id
    }

    async fn list(&self, query: &str) -> Value {
        let path = format!("/parked{query}");
        let listed = self.http.get_with(&path, &[AUTHORISED]).await;
        assert_eq!(listed.status, 200, "{}", listed.json);
        listed.json
    }

    async fn does(&self, deed: &str, only: Value) -> (u16, Value) {
        let order = json!({ "who": "ada", "why": "it was a test", "only": only });
        let path = format!("/parked/inventory/{deed}");
        let done = self.http.post(&path, &[AUTHORISED], &order).await;
        (done.status, done.json)
    }
}

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let inventory = Inventory::start(Some("open sesame")).await;
    let event = inventory.parks("order-1", "poison").await;
    for path in ["/parked", "/actions", "/nowhere"] {
        let refused = inventory.http.get(path).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        let wrong = [("authorization", "Bearer open sesam")];
        assert_eq!(inventory.http.get_with(path, &wrong).await.status, 401);
    }
    let order = json!({ "who": "eve", "why": "fun", "only": { "event_id": event } });
    let path = "/parked/inventory/discard";
    assert_eq!(inventory.http.post(path, &[], &order).await.status, 401);
    assert_eq!(inventory.list("").await["total"], 1);
    assert_eq!(inventory.http.get("/health").await.status, 200);

    let closed = Inventory::start(None).await;
    let refused = closed.http.get_with("/parked", &[AUTHORISED]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(closed.http.get("/health").await.status, 200);
}

#[tokio::test]
async fn what_is_parked_is_found_by_error_type_age_and_consumer() {
    let inventory = Inventory::start(Some("open sesame")).await;
    for (order, error) in [
        ("order-1", "100% wrong"),
        ("order-2", "100% wrong"),
        ("order-3", "missing field"),
    ] {
        inventory.parks(order, error).await;
    }
    execute(
        &inventory.stocks,
        "UPDATE parked SET parked_at_ms = parked_at_ms - 60000 WHERE entity = 'order-3'",
    )
    .await;
    for (query, total) in [
        ("", 3),
        ("?consumer=inventory", 3),
        ("?error=100%25%20Wrong", 2),
        ("?error=100_", 0),
        ("?event_type=order.placed&error=field", 1),
        ("?event_type=order.cancelled", 0),
        ("?older_than_seconds=30", 1),
        ("?older_than_seconds=3600", 0),
    ] {
        assert_eq!(inventory.list(query).await["total"], total, "{query}");
    }
    let metrics = inventory.http.text("/metrics", &[AUTHORISED]).await;
    assert!(metrics.contains("shop_parked_events{group=\"inventory\"} 3\n"));
    assert!(metrics.contains("shop_consumer_lag_messages{group=\"inventory\"} 0\n"));
    assert!(metrics.contains("shop_outbox_unsent_events{topic=\"orders\"} 0\n"));
    let few = inventory.list("?limit=2").await;
    assert_eq!(few["parked"].as_array().unwrap().len(), 2);
    assert_eq!(few["total"], 3);
    let groups = inventory.list("?group_by=error").await;
    let counts = groups["groups"].as_array().unwrap().iter();
    let counts: Vec<_> = counts
        .map(|group| (group["error"].as_str().unwrap(), group["events"].as_i64()))
        .collect();
    assert_eq!(
        counts,
        [("100% wrong", Some(2)), ("missing field", Some(1))]
    );
    for wrong in ["?consumer=nobody", "?colour=blue", "?limit=many"] {
        let path = format!("/parked{wrong}");
        let refused = inventory.http.get_with(&path, &[AUTHORISED]).await;
        assert!((400..500).contains(&refused.status), "{wrong}");
        assert!(refused.json["error"].is_string(), "{wrong}");
    }
}

#[tokio::test]
async fn a_discarded_event_has_no_effect_and_its_successors_go_on() {
    let inventory = Inventory::start(Some("open sesame")).await;
    let first = event("order-1", placed());
    let message = first.encode("order-1".to_owned());
    let poison = inventory.parks_message(&first, message, "poison").await;
    let successor = event("order-1", placed());
    let message = successor.encode("order-1".to_owned());
    let next = inventory.parks_message(&successor, message, "behind").await;
    let only_next = json!({ "event_id": next });
    let behind = json!({ "events": 0, "left": 0, "behind": 1 });
    assert_eq!(
        inventory.does("replay", only_next.clone()).await,
        (202, behind)
    );

    let unseen = json!({ "events": 0, "unseen": 1 });
    let only_poison = json!({ "error": "poison" });
    assert_eq!(
        inventory.does("discard", only_poison.clone()).await,
        (200, unseen)
    );
    assert_eq!(inventory.does("discard", json!({})).await.0, 400);
    inventory.list("").await;
    let discarded = json!({ "events": 1, "unseen": 0 });
    assert_eq!(
        inventory.does("discard", only_poison).await,
        (200, discarded)
    );
    // A late copy of it is known, and what was parked behind it is applied.
    spawn(inventory::consumer(environment(
        &inventory.stocks,
        &inventory.broker,
    )));
    spawn_relay("relay", vec![inventory.orders.clone()], &inventory.broker);
    let copy = first.encode("order-1".to_owned());
    inventory.broker.publish(copy).await.unwrap();
    let replayed = json!({ "events": 1, "left": 0, "behind": 0 });
    assert_eq!(inventory.does("replay", only_next).await, (202, replayed));
    let reserved = async || stock(&inventory.stocks, "tea").await == (8, 2, 0);
    Patience::until("the successor is applied", reserved).await;
    assert_eq!(inventory.list("").await["total"], 0);

    let actions = inventory.http.get_with("/actions", &[AUTHORISED]).await;
    let actions: Vec<_> = actions.json["actions"].as_array().unwrap().clone();
    assert_eq!(actions.len(), 2, "{actions:?}");
    let discard = actions.iter().find(|own| own["action"] == "discard");
    let discard = discard.unwrap();
    assert_eq!(discard["event_id"], poison.as_str());
    assert_eq!(discard["who"], "ada");
    assert_eq!(discard["why"], "it was a test");
}

#[tokio::test]
async fn only_what_was_settled_is_ever_forgotten() {
    let inventory = Inventory::start(Some("open sesame")).await;
    let kept = inventory.parks("order-1", "poison").await;
    let discarded = inventory.parks("order-2", "poison").await;
    inventory.list("").await;
    let only = json!({ "event_id": discarded });
    assert_eq!(inventory.does("discard", only).await.0, 200);
    let messages = "SELECT event_id FROM discarded_messages";
    assert_eq!(
        rows(&inventory.stocks, messages).await,
        [[discarded.clone()]]
    );
    tokio::time::sleep(Duration::from_millis(5)).await;
    let nothing = Retention {
        sent: Duration::ZERO,
        handled: Duration::ZERO,
        discarded: Duration::ZERO,
        ..Retention::default()
    };
    purge(&inventory.stocks, &nothing).await.unwrap();
    assert!(rows(&inventory.stocks, messages).await.is_empty());
    assert_eq!(inventory.list("").await["parked"][0]["event_id"], kept);
    let actions = rows(&inventory.stocks, "SELECT event_id FROM operator_actions").await;
    assert_eq!(actions, [[discarded]]);
}

#[tokio::test]
async fn what_its_outbox_has_forgotten_is_replayed_from_the_parked_copy() {
    let inventory = Inventory::start(Some("open sesame")).await;
    inventory.parks("order-1", "the stock was locked").await;
    let unreadable = Message {
        topic: "orders".to_owned(),
        key: "order-2".to_owned(),
        headers: BTreeMap::new(),
        payload: b"\xff".to_vec(),
    };
    let nameless = event("order-2", placed());
    let id = inventory
        .parks_message(&nameless, unreadable, "no text")
        .await;
    let path = format!("/parked/inventory/{id}");
    let shown = inventory.http.get_with(&path, &[AUTHORISED]).await;
    assert_eq!(shown.json["payload"], "\u{fffd}");
    spawn(inventory::consumer(environment(
        &inventory.stocks,
        &inventory.broker,
    )));
    spawn_relay("relay", vec![inventory.orders.clone()], &inventory.broker);
    let replayed = json!({ "events": 1, "left": 1, "behind": 0 });
    assert_eq!(inventory.does("replay", json!({})).await, (202, replayed));
    let reserved = async || stock(&inventory.stocks, "tea").await == (8, 2, 0);
    Patience::until("the event is applied", reserved).await;
    assert_eq!(inventory.list("").await["total"], 1);
}
