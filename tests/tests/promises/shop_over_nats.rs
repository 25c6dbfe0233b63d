//! The reference system's broker over NATS: what its port promises, in real time.
//!
//! Each test has a server of its own, or else the empty one that `NATS_URL` names, for one test at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reference_system::ports::broker::{
    Broker, Delivery, Message, NatsBroker, NatsSettings, Subscription, header,
};
use stormglass_nats::{NoWitness, Server};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A server, as an address.
async fn server() -> String {
    if let Ok(given) = std::env::var("NATS_URL") {
        return given;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { Server::new(Arc::new(NoWitness)).serve(listener).await });
    format!("nats://{address}")
}

async fn connect(url: &str) -> NatsBroker {
    let connected = NatsBroker::connect(url, NatsSettings::default());
    connected.await.unwrap()
}

fn message(key: &str, text: &str) -> Message {
    Message {
        topic: "orders".to_owned(),
        key: key.to_owned(),
        headers: BTreeMap::new(),
        payload: text.as_bytes().to_vec(),
    }
}

async fn publish(broker: &NatsBroker, key: &str, texts: &[&str]) {
    for text in texts {
        broker.publish(message(key, text)).await.unwrap();
    }
}

/// The next delivery, which has to come soon.
async fn next(member: &mut dyn Subscription) -> Box<dyn Delivery> {
    let next = timeout(Duration::from_secs(15), member.next()).await;
    next.expect("nothing is delivered").unwrap()
}

fn text(delivery: &dyn Delivery) -> String {
    String::from_utf8(delivery.message().payload.clone()).unwrap()
}

#[tokio::test]
async fn a_message_comes_as_it_was_published_once_for_each_id_in_its_topic() {
    let broker = connect(&server().await).await;
    let mut sent = message("a key\n", "{}");
    for (name, value) in [(header::MESSAGE_ID, "id"), ("dlq-error", " two\nlines ")] {
        sent.headers.insert(name.to_owned(), value.to_owned());
    }
    let parked = Message {
        topic: "payment.dlq".to_owned(),
        ..sent.clone()
    };
    for message in [&sent, &sent, &parked] {
        broker.publish(message.clone()).await.unwrap();
    }
    publish(&broker, "a key\n", &["last"]).await;
    let mut member = broker.subscribe("group", &["orders"]).await.unwrap();
    let delivery = next(member.as_mut()).await;
    assert_eq!(delivery.message(), &sent);
    delivery.ack().await.unwrap();
    assert_eq!(text(next(member.as_mut()).await.as_ref()), "last");
    let mut other = broker.subscribe("other", &["payment.dlq"]).await.unwrap();
    assert_eq!(next(other.as_mut()).await.message(), &parked);
}

#[tokio::test]
async fn a_key_keeps_its_order_whoever_gets_it_and_waits_for_a_retry() {
    let broker = connect(&server().await).await;
    let (first, second) = tokio::join!(
        broker.subscribe("group", &["orders", "payments"]),
        broker.subscribe("group", &["orders", "payments"]),
    );
    let (mut first, mut second) = (first.unwrap(), second.unwrap());
    publish(&broker, "a", &["1", "2", "3"]).await;
    let delivery = next(first.as_mut()).await;
    assert_eq!(text(delivery.as_ref()), "1");
    let begun = Instant::now();
    let pause = Duration::from_millis(400);
    delivery.retry(pause).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        // Whoever waits no longer loses nothing, however short it has waited.
        for member in [&mut first, &mut second] {
            if let Ok(delivery) = timeout(Duration::from_millis(3), member.next()).await {
                let delivery = delivery.unwrap();
                seen.push(text(delivery.as_ref()));
                delivery.ack().await.unwrap();
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{seen:?}");
    }
    assert_eq!(seen, ["1", "2", "3"]);
    assert!(begun.elapsed() >= pause);
}

#[tokio::test]
async fn what_a_member_does_not_settle_another_one_gets() {
    let settings = NatsSettings {
        ack_wait: Duration::from_millis(500),
        ..NatsSettings::default()
    };
    let url = server().await;
    let broker = NatsBroker::connect(&url, settings).await.unwrap();
    let mut first = broker.subscribe("group", &["orders"]).await.unwrap();
    publish(&broker, "a", &["1", "2"]).await;
    let lost = next(first.as_mut()).await;
    assert_eq!(text(lost.as_ref()), "1");
    drop((lost, first));
    let mut second = broker.subscribe("group", &["orders"]).await.unwrap();
    for expected in ["1", "2"] {
        let delivery = next(second.as_mut()).await;
        assert_eq!(text(delivery.as_ref()), expected);
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn a_member_that_leaves_hands_back_what_it_has_not_delivered() {
    let url = server().await;
    let broker = connect(&url).await;
    let mut first = broker.subscribe("group", &["orders"]).await.unwrap();
    let nothing = timeout(Duration::from_millis(200), first.next()).await;
    assert!(nothing.is_err(), "it only asks for messages");
    // These keys are in different partitions.
    for key in ["a", "b", "c", "d"] {
        publish(&broker, key, &[key]).await;
    }
    let delivery = next(first.as_mut()).await;
    let mut left = vec!["a", "b", "c", "d"];
    left.retain(|key| *key != text(delivery.as_ref()));
    delivery.ack().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(first);
    broker.close().await;
    let mut second = broker.subscribe("group", &["orders"]).await.unwrap();
    while !left.is_empty() {
        let delivery = next(second.as_mut()).await;
        left.retain(|key| *key != text(delivery.as_ref()));
        delivery.ack().await.unwrap();
    }
}
