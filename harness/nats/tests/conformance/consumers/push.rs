//! Consumers that deliver by themselves.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers#push-consumers>

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use futures::StreamExt;

use crate::stage::{A_WHILE, ACK_WAIT, caught_up, check, next, soon};
use crate::transcript::{delivery, outcome, said, text};

fn pushing(name: &str) -> push::Config {
    push::Config {
        durable_name: Some(name.to_owned()),
        deliver_subject: format!("deliveries.{name}"),
        ack_wait: ACK_WAIT,
        ..Default::default()
    }
}

#[test]
fn messages_are_delivered_to_the_subject() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let consumer = stream.create_consumer(pushing("worker")).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        for expected in ["a #1 attempt 1", "b #2 attempt 1"] {
            let message = messages.next().await.unwrap().unwrap();
            stage.sees(delivery(&message), expected);
            stage.sees(message.subject.as_str(), "orders.new");
            message.ack().await.unwrap();
        }
        stage.store("orders.new", &["c"]).await;
        let message = messages.next().await.unwrap().unwrap();
        stage.sees(delivery(&message), "c #3 attempt 1");
    });
}

#[test]
fn nothing_is_delivered_where_nobody_listens() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream.create_consumer(pushing("worker")).await.unwrap();
        tokio::time::sleep(ACK_WAIT * 2).await;
        let info = consumer.get_info().await.unwrap();
        stage.sees(
            (info.push_bound, info.num_pending, info.num_ack_pending),
            &(false, 1, 0),
        );
        let mut messages = consumer.messages().await.unwrap();
        let message = messages.next().await.unwrap().unwrap();
        stage.sees(delivery(&message), "a #1 attempt 1");
        stage.sees(consumer.get_info().await.unwrap().push_bound, &true);
    });
}

#[test]
fn a_delivery_that_is_not_acknowledged_is_pushed_again() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let consumer = stream.create_consumer(pushing("worker")).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut deliveries = Vec::new();
        for _ in 0..4 {
            deliveries.push(delivery(&messages.next().await.unwrap().unwrap()));
        }
        stage.sees(
            deliveries,
            &[
                "a #1 attempt 1",
                "b #2 attempt 1",
                "a #1 attempt 2",
                "b #2 attempt 2",
            ],
        );
    });
}

#[test]
fn a_group_shares_the_deliveries() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = push::Config {
            deliver_group: Some("workers".to_owned()),
            ack_policy: AckPolicy::None,
            ..pushing("worker")
        };
        stream.create_consumer(config).await.unwrap();
        let subject = "deliveries.worker".to_owned();
        let other = stage.connect().await;
        let first = stage
            .client
            .queue_subscribe(subject.clone(), "workers".to_owned());
        let second = other.queue_subscribe(subject, "workers".to_owned());
        let (mut first, mut second) = (first.await.unwrap(), second.await.unwrap());
        caught_up(&other).await;
        caught_up(&stage.client).await;
        for number in 0..100 {
            stage.store("orders.new", &[&number.to_string()]).await;
        }
        let mut all: Vec<u32> = Vec::new();
        let mut shares = Vec::new();
        for member in [&mut first, &mut second] {
            let before = all.len();
            while let Some(message) = soon(member).await {
                all.push(said(&message).parse().unwrap());
            }
            shares.push(all.len() - before);
        }
        all.sort();
        stage.sees(all == (0..100).collect::<Vec<_>>(), &true);
        stage.sees(shares.iter().all(|share| *share > 0), &true);
    });
}

#[test]
fn a_listener_that_is_in_no_group_gets_nothing_of_a_group() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = push::Config {
            deliver_group: Some("workers".to_owned()),
            ..pushing("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut plain = stage.client.subscribe("deliveries.worker").await.unwrap();
        stage.store("orders.new", &["a"]).await;
        stage.sees(soon(&mut plain).await.is_none(), &true);
        stage.sees(consumer.get_info().await.unwrap().num_pending, &1);
    });
}

#[test]
fn pushes_stop_at_what_may_be_out() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let config = push::Config {
            max_ack_pending: 2,
            ack_wait: Duration::from_secs(30),
            ..pushing("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let first = messages.next().await.unwrap().unwrap();
        messages.next().await.unwrap().unwrap();
        let third = tokio::time::timeout(A_WHILE, messages.next()).await;
        stage.sees(third.is_err(), &true);
        first.ack().await.unwrap();
        let third = messages.next().await.unwrap().unwrap();
        stage.sees(delivery(&third), "c #3 attempt 1");
    });
}

#[test]
fn pushes_without_acks_come_once() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let config = push::Config {
            ack_policy: AckPolicy::None,
            ..pushing("worker")
        };
        let mut deliveries = stage.client.subscribe("deliveries.worker").await.unwrap();
        let consumer = stream.create_consumer(config).await.unwrap();
        stage.sees(said(&next(&mut deliveries).await), "a");
        stage.sees(said(&next(&mut deliveries).await), "b");
        tokio::time::sleep(ACK_WAIT).await;
        stage.sees(soon(&mut deliveries).await.is_none(), &true);
        stage.sees(
            consumer.get_info().await.unwrap().ack_floor.stream_sequence,
            &2,
        );
    });
}

#[test]
fn an_idle_push_consumer_sends_heartbeats() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let config = push::Config {
            idle_heartbeat: Duration::from_millis(200),
            ack_policy: AckPolicy::None,
            ..pushing("worker")
        };
        let mut deliveries = stage.client.subscribe("deliveries.worker").await.unwrap();
        stream.create_consumer(config).await.unwrap();
        stage.sees(said(&next(&mut deliveries).await), "a");
        let heartbeat = next(&mut deliveries).await;
        stage.sees(said(&heartbeat), "100 Idle Heartbeat");
        let headers = heartbeat.headers.unwrap();
        for name in ["Nats-Last-Consumer", "Nats-Last-Stream"] {
            stage.sees(headers.get(name).map(ToString::to_string), &Some("1"));
        }
        stage.store("orders.new", &["b"]).await;
        let mut said = said(&next(&mut deliveries).await);
        while said == "100 Idle Heartbeat" {
            said = text(&next(&mut deliveries).await.payload);
        }
        stage.sees(said, "b");
    });
}

#[test]
fn a_push_consumer_goes_when_nobody_listens() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = push::Config {
            durable_name: None,
            name: Some("short".to_owned()),
            inactive_threshold: Duration::from_millis(300),
            ..pushing("short")
        };
        let listener = stage.connect().await;
        let mut deliveries = listener.subscribe("deliveries.short").await.unwrap();
        caught_up(&listener).await;
        stream.create_consumer(config).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1200)).await;
        stage.sees(stream.consumer_info("short").await.is_ok(), &true);
        deliveries.unsubscribe().await.unwrap();
        caught_up(&listener).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stage.sees(stream.consumer_info("short").await.is_ok(), &false);
    });
}

#[test]
fn a_push_consumer_can_begin_with_what_is_new() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["old"]).await;
        let config = push::Config {
            deliver_policy: DeliverPolicy::New,
            ..pushing("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        stage.store("orders.new", &["new"]).await;
        stage.sees(
            delivery(&messages.next().await.unwrap().unwrap()),
            "new #2 attempt 1",
        );
    });
}

#[test]
fn deliveries_can_go_elsewhere_when_nobody_listens() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = push::Config {
            ack_policy: AckPolicy::None,
            ..pushing("worker")
        };
        let mut old = stage.client.subscribe("deliveries.worker").await.unwrap();
        let mut new = stage.client.subscribe("elsewhere").await.unwrap();
        let consumer = stream.create_consumer(config.clone()).await.unwrap();
        stage.store("orders.new", &["a"]).await;
        stage.sees(said(&next(&mut old).await), "a");
        let moved = push::Config {
            deliver_subject: "elsewhere".to_owned(),
            ..config
        };
        let refused = stream.create_consumer(moved.clone()).await;
        stage.compares(outcome(refused.map(drop)));
        old.unsubscribe().await.unwrap();
        while consumer.get_info().await.unwrap().push_bound {
            tokio::time::sleep(A_WHILE / 10).await;
        }
        stream.create_consumer(moved).await.unwrap();
        stage.store("orders.new", &["b"]).await;
        stage.sees(said(&next(&mut new).await), "b");
    });
}
