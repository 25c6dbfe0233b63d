//! Ordered consumers: everything once and in order, made again by the client when something is missing.
//! <https://docs.nats.io/using-nats/developer/develop_jetstream/consumers> ("Ordered consumers"), ADR-17

use async_nats::jetstream::consumer::{DeliverPolicy, pull, push};
use futures::StreamExt;

use crate::relay::Relay;
use crate::stage::{check, options};
use crate::transcript::text;

#[test]
fn an_ordered_push_consumer_reads_everything() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let config = push::OrderedConfig {
            deliver_subject: stage.client.new_inbox(),
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        stage.store("orders.new", &["d"]).await;
        for expected in ["a", "b", "c", "d"] {
            let message = messages.next().await.unwrap().unwrap();
            stage.sees(text(&message.payload), expected);
        }
    });
}

#[test]
fn an_ordered_pull_consumer_reads_everything() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let consumer = stream
            .create_consumer(pull::OrderedConfig::default())
            .await
            .unwrap();
        let mut messages = consumer.messages().await.unwrap();
        stage.store("orders.new", &["d"]).await;
        for expected in ["a", "b", "c", "d"] {
            let message = messages.next().await.unwrap().unwrap();
            stage.sees(text(&message.payload), expected);
        }
    });
}

#[test]
fn an_ordered_consumer_can_be_filtered_and_begin_late() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        for payload in ["a1", "b2", "a3", "b4", "a5"] {
            stage
                .store(&format!("orders.{}", &payload[..1]), &[payload])
                .await;
        }
        let config = push::OrderedConfig {
            deliver_subject: stage.client.new_inbox(),
            filter_subject: "orders.a".to_owned(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 2 },
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        for expected in ["a3", "a5"] {
            let message = messages.next().await.unwrap().unwrap();
            stage.sees(text(&message.payload), expected);
        }
    });
}

#[test]
fn an_ordered_push_consumer_survives_a_lost_connection() {
    check(async |stage| {
        let relay = Relay::to(stage.address()).await;
        stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let client = options().connect(relay.address()).await.unwrap();
        let stream = async_nats::jetstream::new(client.clone())
            .get_stream("ORDERS")
            .await
            .unwrap();
        let config = push::OrderedConfig {
            deliver_subject: client.new_inbox(),
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut came = Vec::new();
        for _ in 0..2 {
            came.push(text(&messages.next().await.unwrap().unwrap().payload));
        }
        relay.cut();
        stage.store("orders.new", &["c", "d"]).await;
        for _ in 0..2 {
            came.push(text(&messages.next().await.unwrap().unwrap().payload));
        }
        stage.sees(came, &["a", "b", "c", "d"]);
    });
}

#[test]
fn an_ordered_pull_consumer_is_made_again_when_it_is_deleted() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let consumer = stream
            .create_consumer(pull::OrderedConfig::default())
            .await
            .unwrap();
        let mut messages = consumer.messages().await.unwrap();
        for expected in ["a", "b"] {
            let message = messages.next().await.unwrap().unwrap();
            stage.sees(text(&message.payload), expected);
        }
        let mut names = stream.consumer_names();
        while let Some(name) = names.next().await {
            stream.delete_consumer(&name.unwrap()).await.unwrap();
        }
        stage.store("orders.new", &["c"]).await;
        let message = messages.next().await.unwrap().unwrap();
        stage.sees(text(&message.payload), "c");
    });
}
