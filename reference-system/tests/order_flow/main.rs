//! The whole system on an in-process broker and SQLite: what a customer sees, and what every pattern promises.
//!
//! The same as a process of its own is in [`serve`].
//! It injects faults only where a port is simple to replace; it does not search for interleavings.

mod alerts;
mod changes;
mod dead_letters;
mod operations;
mod registry;
mod relaying;
mod serve;
mod system;
mod tracing;

use std::sync::Arc;
use std::time::Duration;

use reference_system::dead_letter;
use reference_system::event::contract::{OrderConfirmed, OrderPlaced, ShipmentDispatched};

use reference_system::order::{OrderDesk, Orders, PlaceOrder};
use reference_system::ports::broker::{Broker, InProcessBroker, Message, header};
use reference_system::ports::mailer::LoggingMailer;
use reference_system::publishing::Direct;
use reference_system::relay::Relay;
use reference_system::{
    Environment, Settings, Shutdown, Telemetry, correlation, gateway, inventory, notification,
    order,
};
use serde_json::json;

use tokio::net::TcpListener;

use system::faulty::{AlwaysNew, FaultyBroker};
use system::{
    Http, Patience, System, database, environment, event, fast, rows, spawn, spawn_relay, stock,
};

fn body(sku: &str, card: &str) -> serde_json::Value {
    json!({ "customer": "ada@example.org", "card": card, "address": "Mill Lane 1", "sku": sku, "quantity": 2, "unit_price_cents": 450 })
}

fn placed() -> OrderPlaced {
    OrderPlaced {
        customer: "ada@example.org".to_owned(),
        card: "visa".to_owned(),
        address: "Mill Lane 1".to_owned(),
        sku: "tea".to_owned(),
        quantity: 2,
        unit_price_cents: 450,
        discount_cents: 0,
    }
}

fn order_for_one() -> PlaceOrder {
    PlaceOrder {
        customer: "ada@example.org".to_owned(),
        card: "visa".to_owned(),
        address: "Mill Lane 1".to_owned(),
        sku: "tea".to_owned(),
        quantity: 1,
        unit_price_cents: 100,
        discount_cents: 0,
        idempotency_key: None,
    }
}

#[tokio::test]
async fn a_paid_order_is_shipped_charged_once_and_mailed_at_each_stage() {
    let system = System::start().await;
    let placed = system
        .http
        .post(
            "/orders",
            &[("x-correlation-id", "flow-1")],
            &body("tea", "visa"),
        )
        .await;
    assert_eq!(placed.status, 202);
    assert_eq!(placed.header("x-correlation-id"), Some("flow-1"));
    let id = placed.json["order_id"].as_str().unwrap().to_owned();

    let order = system.order_in_state(&id, "shipped").await;
    assert_eq!(order["quantity"], 2);
    let shipped = async || stock(&system.inventory, "tea").await == (8, 0, 2);
    Patience::until("stock is written off", shipped).await;
    Patience::until("all mails are sent", async || {
        system.mailer.sent().len() == 3
    })
    .await;
    let captured = system.processor.captured();
    assert_eq!(captured.len(), 1);
    assert_eq!(
        (captured[0].amount_cents, &captured[0].order_id),
        (900, &id)
    );

    let journals = [
        (
            &system.orders,
            vec!["order placed", "order confirmed", "order shipped"],
        ),
        (&system.inventory, vec!["stock reserved", "stock shipped"]),
        (&system.payments, vec!["payment captured"]),
        (
            &system.shipments,
            vec!["parcel dispatched", "shipment closed"],
        ),
        (
            &system.notifications,
            vec!["receipt mailed", "confirmation mailed", "dispatch mailed"],
        ),
    ];
    let mut announced = Vec::new();
    let mut causes = Vec::new();
    for (database, effects) in journals {
        let journal = rows(database, "SELECT effect, entity, correlation_id, COALESCE(event_id, ''), COALESCE(cause_id, '') FROM journal WHERE effect <> 'stock received' ORDER BY position").await;
        let found: Vec<&str> = journal.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(found, effects);
        for row in &journal {
            assert_eq!((row[1].as_str(), row[2].as_str()), (id.as_str(), "flow-1"));
            announced.push(row[3].clone());
            causes.push(row[4].clone());
        }
    }
    let ingress = causes.iter().filter(|cause| cause.is_empty()).count();
    assert_eq!(ingress, 1);
    let known = |cause: &String| cause.is_empty() || announced.contains(cause);
    assert!(causes.iter().all(known));
}

#[tokio::test]
async fn a_declined_order_is_cancelled_and_its_stock_is_free_again() {
    let system = System::start().await;
    let id = system.place(&body("tea", "declined-1")).await;
    system.order_in_state(&id, "cancelled").await;
    let free = async || stock(&system.inventory, "tea").await == (10, 0, 0);
    Patience::until("stock is released", free).await;
    let released = "SELECT COUNT(*) || '' FROM journal WHERE effect = 'stock released'";
    assert_eq!(rows(&system.inventory, released).await, [["1"]]);
    Patience::until("both mails are sent", async || {
        system.mailer.sent().len() == 2
    })
    .await;
    let cancellations = system.mailer.sent().into_iter();
    let cancellations = cancellations.filter(|mail| mail.subject.ends_with("cancelled"));
    assert_eq!(cancellations.count(), 1);
    assert!(system.processor.captured().is_empty());
    assert!(system.broker.published("shipments").is_empty());
}

#[tokio::test]
async fn an_order_without_stock_is_cancelled_and_never_charged() {
    let system = System::start().await;
    let id = system.place(&body("coffee", "visa")).await;
    system.order_in_state(&id, "cancelled").await;
    assert!(system.processor.captured().is_empty());
    assert_eq!(stock(&system.inventory, "tea").await, (10, 0, 0));
}

#[tokio::test]
async fn stock_never_goes_below_zero() {
    let system = System::start().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(system.place(&body("tea", "visa")).await);
    }
    for id in &ids {
        let ended = async || ["shipped", "cancelled"].contains(&system.state(id).await.as_str());
        Patience::until("every order has ended", ended).await;
    }
    let sold_out = async || stock(&system.inventory, "tea").await == (0, 0, 10);
    Patience::until("five orders got all the stock", sold_out).await;
}

#[tokio::test]
async fn a_repeated_request_places_one_order() {
    let system = System::start().await;
    let key = [("idempotency-key", "request-1")];
    let first = system
        .http
        .post("/orders", &key, &body("tea", "visa"))
        .await;
    let again = system
        .http
        .post("/orders", &key, &body("tea", "visa"))
        .await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.json["order_id"], again.json["order_id"]);
    let other = system
        .http
        .post("/orders", &key, &body("tea", "other"))
        .await;
    assert_eq!(other.status, 409);
    let placed = "SELECT COUNT(*) || '' FROM journal WHERE effect = 'order placed'";
    assert_eq!(rows(&system.orders, placed).await, [["1"]]);
}

#[tokio::test]
async fn what_a_caller_does_wrong_gets_a_clear_answer() {
    let system = System::start().await;
    let missing = system.http.get("/orders/none").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json["error"], "there is no order none");
    assert_eq!(system.http.get("/nothing").await.status, 404);
    assert_eq!(
        system.http.post("/orders/1", &[], &json!({})).await.status,
        405
    );
    let mut no_sku = body("tea", "visa");
    no_sku.as_object_mut().unwrap().remove("sku");
    let mut none = body("tea", "visa");
    none["quantity"] = json!(0);
    let mut too_much = body("tea", "visa");
    too_much["quantity"] = json!(i64::MAX);
    for (bad, word) in [
        (no_sku, "sku"),
        (none, "quantity"),
        (too_much, "too large"),
        (body(" ", "visa"), "empty"),
    ] {
        let answer = system.http.post("/orders", &[], &bad).await;
        assert_eq!(answer.status, 400);
        let error = answer.json["error"].as_str().unwrap();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_duplicate_has_one_effect_and_without_an_inbox_it_has_two() {
    let (with_inbox, without) = (
        database(inventory::schema).await,
        database(inventory::schema).await,
    );
    for database in [&with_inbox, &without] {
        inventory::restock(database, "tea", 10).await.unwrap();
    }
    let broker = InProcessBroker::new();
    spawn(inventory::consumer(environment(&with_inbox, &broker)));
    let other = InProcessBroker::new();
    spawn(inventory::consumer(Environment {
        inbox: Arc::new(AlwaysNew),
        ..environment(&without, &other)
    }));
    let duplicated = event("order-1", placed());
    let last = event("order-2", placed());
    for event in [&duplicated, &duplicated, &last] {
        for broker in [&broker, &other] {
            let key = "one partition".to_owned();
            broker.publish(event.encode(key)).await.unwrap();
        }
    }
    let reserved = async || stock(&with_inbox, "tea").await == (6, 4, 0);
    Patience::until("two orders are reserved", reserved).await;
    let reserved = async || stock(&without, "tea").await == (4, 6, 0);
    Patience::until("a duplicate is reserved as well", reserved).await;
}

#[tokio::test]
async fn poison_is_parked_after_five_attempts_and_its_successors_behind_it() {
    let database = database(inventory::schema).await;
    inventory::restock(&database, "tea", 10).await.unwrap();
    // The dead letter topic refuses twice: the poison is parked all the same, and only once.
    let broker = FaultyBroker::rejecting("inventory.dlq", 2);
    spawn(inventory::consumer(environment(&database, &broker)));
    let order = |order: &str| event(order, placed()).encode(order.to_owned());
    let poison = Message {
        payload: b"{ not json".to_vec(),
        ..order("order-1")
    };
    let successor = order("order-1");
    for message in [&poison, &successor, &order("order-2")] {
        broker.publish(message.clone()).await.unwrap();
    }
    let parked = async || broker.inner.published("inventory.dlq").len() == 2;
    Patience::until("both are parked", parked).await;
    let healthy = async || stock(&database, "tea").await == (8, 2, 0);
    Patience::until("the other order is reserved", healthy).await;

    let letters = broker.inner.published("inventory.dlq");
    for (letter, original, attempts) in
        [(&letters[0], &poison, "5"), (&letters[1], &successor, "0")]
    {
        assert_eq!(letter.key, original.key);
        assert_eq!(letter.payload, original.payload);
        for (name, value) in &original.headers {
            assert_eq!(letter.headers.get(name), Some(value));
        }
        assert_eq!(letter.headers[dead_letter::header::ATTEMPTS], attempts);
        assert_eq!(
            letter.headers[dead_letter::header::ORIGINAL_TOPIC],
            "orders"
        );
        assert_eq!(letter.headers[dead_letter::header::GROUP], "inventory");
    }
    assert!(letters[0].headers[dead_letter::header::ERROR].contains("body cannot be read"));
    assert!(letters[1].headers[dead_letter::header::ERROR].contains("earlier event"));

    let parked = "SELECT event_id, attempts || '' FROM parked ORDER BY attempts DESC";
    Patience::until("both are recorded", async || {
        rows(&database, parked).await.len() == 2
    })
    .await;
    let parked = rows(&database, parked).await;
    assert_eq!(parked[0], [poison.headers[header::EVENT_ID].as_str(), "5"]);
    assert_eq!(
        parked[1],
        [successor.headers[header::EVENT_ID].as_str(), "0"]
    );

    broker.publish(poison.clone()).await.unwrap();
    broker.publish(order("order-3")).await.unwrap();
    let healthy = async || stock(&database, "tea").await == (6, 4, 0);
    Patience::until("the next order is reserved", healthy).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        broker.inner.published("inventory.dlq").len(),
        2,
        "a redelivered parked message is known"
    );
}

#[tokio::test]
async fn an_unidentifiable_message_is_parked_too() {
    let database = database(inventory::schema).await;
    let broker = InProcessBroker::new();
    spawn(inventory::consumer(environment(&database, &broker)));
    let nameless = Message {
        topic: "orders".to_owned(),
        key: "order-1".to_owned(),
        headers: std::collections::BTreeMap::new(),
        payload: Vec::new(),
    };
    broker.publish(nameless).await.unwrap();
    let parked = async || broker.published("inventory.dlq").len() == 1;
    Patience::until("it is parked", parked).await;
}

#[tokio::test]
async fn an_outage_of_the_card_processor_is_never_held_against_an_event() {
    let system = System::start_with_processor_failing(8).await;
    let id = system.place(&body("tea", "visa")).await;
    system.order_in_state(&id, "shipped").await;
    assert_eq!(system.processor.captured().len(), 1);
    assert!(system.broker.published("payment.dlq").is_empty());
    assert!(
        rows(&system.payments, "SELECT event_id FROM attempts")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_confirmation_that_comes_after_the_dispatch_is_discarded_and_written_down() {
    let database = database(notification::schema).await;
    let broker = InProcessBroker::new();
    let mailer = LoggingMailer::default();
    let environment = environment(&database, &broker);
    spawn(notification::consumer(
        environment,
        Arc::new(mailer.clone()),
    ));
    let dispatched = ShipmentDispatched {
        customer: "ada@example.org".to_owned(),
        sku: "tea".to_owned(),
        parcel: 1,
        quantity: 1,
        left: 0,
    };
    let dispatched = event("order-1", dispatched).encode("order-1".to_owned());
    broker.publish(dispatched).await.unwrap();
    Patience::until("the dispatch is mailed", async || mailer.sent().len() == 1).await;
    let confirmed = OrderConfirmed {
        customer: "ada@example.org".to_owned(),
        address: "Mill Lane 1".to_owned(),
        version: 2,
        sku: "tea".to_owned(),
        quantity: 1,
        total_cents: 450,
    };
    let confirmed = event("order-1", confirmed).encode("order-1".to_owned());
    broker.publish(confirmed).await.unwrap();
    let audit = "SELECT event_type FROM processed_events WHERE outcome = 'discarded' AND reason IS NOT NULL";
    Patience::until("it is written down", async || {
        !rows(&database, audit).await.is_empty()
    })
    .await;
    assert_eq!(rows(&database, audit).await, [["order.confirmed"]]);
    assert_eq!(mailer.sent().len(), 1);
}

async fn placed_orders(orders: &impl Orders, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let chain = correlation::Correlation::at_ingress(None);
        ids.push(orders.place(order_for_one(), chain).await.unwrap());
    }
    ids
}

#[tokio::test]
async fn the_relay_loses_nothing_while_the_broker_refuses() {
    let database = database(order::schema).await;
    let broker = FaultyBroker::rejecting("orders", 7);
    let desk = OrderDesk::new(environment(&database, &broker));
    let ids = placed_orders(&desk, 5).await;
    spawn_relay("relay", vec![database.clone()], &broker);
    let sent = "SELECT position || '' FROM outbox WHERE sent = 1";
    Patience::until("all are sent", async || {
        rows(&database, sent).await.len() == 5
    })
    .await;
    let published = broker.inner.published("orders");
    let keys: Vec<&String> = published.iter().map(|message| &message.key).collect();
    assert_eq!(keys.len(), 5);
    assert!(ids.iter().all(|id| keys.contains(&id)));
}

/// What is held back is due before the next poll.
#[tokio::test]
async fn a_relay_that_polls_more_rarely_than_it_listens_goes_on_after_a_refusal() {
    let database = database(order::schema).await;
    let broker = FaultyBroker::rejecting("orders", 2);
    let desk = OrderDesk::new(environment(&database, &broker));
    placed_orders(&desk, 1).await;
    let settings = Settings {
        relay_poll: Duration::from_millis(20),
        relay_poll_listening: Duration::from_millis(5),
        ..fast()
    };
    let relay = Relay::new("relay", vec![database.clone()], Arc::new(broker));
    spawn(Relay { settings, ..relay }.run());
    let sent = "SELECT position || '' FROM outbox WHERE sent = 1";
    Patience::until("it is sent", async || {
        rows(&database, sent).await.len() == 1
    })
    .await;
}

#[tokio::test]
async fn the_relay_marks_only_what_was_acknowledged_and_repeats_what_may_be_written() {
    let database = database(order::schema).await;
    let broker = FaultyBroker::losing_acks("orders", 3);
    let desk = OrderDesk::new(environment(&database, &broker));
    placed_orders(&desk, 1).await;
    spawn_relay("relay", vec![database.clone()], &broker);
    let sent = "SELECT position || '' FROM outbox WHERE sent = 1";
    Patience::until("it is sent", async || {
        rows(&database, sent).await.len() == 1
    })
    .await;
    let copies = broker.inner.published("orders");
    assert_eq!(
        copies.len(),
        4,
        "three whose acknowledgement was lost, and one"
    );
    assert!(copies.iter().all(|copy| copy == &copies[0]));
}

#[tokio::test]
async fn a_row_that_cannot_be_published_holds_its_own_key_back_and_no_other() {
    let database = database(order::schema).await;
    let broker = FaultyBroker::default();
    let desk = OrderDesk::new(environment(&database, &broker));
    let ids = placed_orders(&desk, 1).await;
    system::execute(&database, "UPDATE outbox SET headers = 'broken'").await;
    system::copy_outbox_row_with_new_id(&database).await;
    placed_orders(&desk, 3).await;
    spawn_relay("relay", vec![database.clone()], &broker);
    let sent = "SELECT partition_key FROM outbox WHERE sent = 1";
    Patience::until("the others are sent", async || {
        rows(&database, sent).await.len() == 3
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let sent = rows(&database, sent).await;
    assert_eq!(sent.len(), 3, "the later row of the broken key waits");
    assert!(sent.iter().all(|row| row[0] != ids[0]));
}

#[tokio::test]
async fn one_relay_serves_several_databases() {
    let databases = [database(order::schema).await, database(order::schema).await];
    let broker = InProcessBroker::new();
    for database in &databases {
        placed_orders(&OrderDesk::new(environment(database, &broker)), 2).await;
    }
    spawn_relay("relay", databases.to_vec(), &broker);
    Patience::until("all are sent", async || {
        broker.published("orders").len() == 4
    })
    .await;
}

#[tokio::test]
async fn direct_publishing_loses_what_the_broker_refuses() {
    let database = database(order::schema).await;
    let broker = FaultyBroker::rejecting("orders", 1);
    let desk = OrderDesk::new(Environment {
        publishing: Arc::new(Direct::new(Arc::new(broker.clone()))),
        ..environment(&database, &broker)
    });
    let ids = placed_orders(&desk, 2).await;
    let published = broker.inner.published("orders");
    let keys: Vec<&String> = published.iter().map(|message| &message.key).collect();
    assert_eq!(keys, [&ids[1]]);
    let unsent = "SELECT position || '' FROM outbox";
    assert!(rows(&database, unsent).await.is_empty());
}

#[tokio::test]
async fn an_unreachable_database_is_a_503_without_its_inner_workings() {
    let database = database(order::schema).await;
    database.close().await;
    let desk = OrderDesk::new(environment(&database, &InProcessBroker::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http(listener.local_addr().unwrap());
    tokio::spawn(gateway::serve(
        listener,
        Arc::new(desk),
        Telemetry::off(),
        Shutdown::never(),
    ));
    for answer in [
        http.get("/orders/1").await,
        http.post("/orders", &[], &body("tea", "visa")).await,
    ] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json["error"], "database unavailable, try again");
    }
}
