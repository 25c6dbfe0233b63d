//! Many workers on one consumer, as services use it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use futures::StreamExt;

use crate::stage::{ACK_WAIT, Stage, check, durable, stream_config};
use crate::transcript::text;

/// A client of its own on the consumer.
async fn worker(stage: &Stage) -> PullConsumer {
    let js = async_nats::jetstream::new(stage.connect().await);
    js.get_consumer_from_stream("worker", "ORDERS")
        .await
        .unwrap()
}

/// Works on everything until nothing comes for a while; `judge` says what becomes of a delivery.
async fn work(consumer: PullConsumer, judge: impl Fn(u32, i64) -> Option<AckKind>) -> Vec<u32> {
    let stream = consumer
        .stream()
        .max_messages_per_batch(5)
        .expires(Duration::from_secs(5));
    let mut messages = stream.messages().await.unwrap();
    let mut done = Vec::new();
    while let Ok(message) = tokio::time::timeout(ACK_WAIT * 4, messages.next()).await {
        let message = message.unwrap().unwrap();
        let number = text(&message.payload).parse().unwrap();
        let attempt = message.info().unwrap().delivered;
        if let Some(kind) = judge(number, attempt) {
            message.double_ack_with(kind).await.unwrap();
            if matches!(kind, AckKind::Ack) {
                done.push(number);
            }
        }
    }
    done
}

/// Publishes the numbers below `count`.
async fn publish(stage: &Stage, count: u32) {
    for number in 0..count {
        stage.store("orders.new", &[&number.to_string()]).await;
    }
}

fn sorted(parts: &[Vec<u32>]) -> Vec<u32> {
    let mut all = parts.concat();
    all.sort_unstable();
    all
}

#[test]
fn every_message_is_worked_on_once_by_one_of_many() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = pull::Config {
            ack_wait: Duration::from_secs(30),
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let workers = [
            worker(stage).await,
            worker(stage).await,
            worker(stage).await,
        ];
        let working = workers.map(|own| work(own, |_, _| Some(AckKind::Ack)));
        let (parts, ()) = tokio::join!(futures::future::join_all(working), publish(stage, 60));
        stage.sees(sorted(&parts) == (0..60).collect::<Vec<_>>(), &true);
        stage.sees(parts.iter().all(|part| !part.is_empty()), &true);
        let info = consumer.get_info().await.unwrap();
        stage.sees(
            (info.ack_floor.stream_sequence, info.num_ack_pending),
            &(60, 0),
        );
    });
}

#[test]
fn what_fails_at_first_is_done_in_the_end() {
    check(async |stage| {
        let config = Config {
            retention: RetentionPolicy::WorkQueue,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stream.create_consumer(durable("worker")).await.unwrap();
        // Of each four messages one is forgotten at first, one given back twice, one put off.
        let judge = |number: u32, attempt| match (number % 4, attempt) {
            (0, 1) => None,
            (1, 1 | 2) => Some(AckKind::Nak(None)),
            (2, 1) => Some(AckKind::Nak(Some(Duration::from_millis(100)))),
            _ => Some(AckKind::Ack),
        };
        let workers = [worker(stage).await, worker(stage).await];
        let working = workers.map(|own| work(own, judge));
        let (parts, ()) = tokio::join!(futures::future::join_all(working), publish(stage, 20));
        stage.sees(sorted(&parts) == (0..20).collect::<Vec<_>>(), &true);
        stage.sees(stream.get_info().await.unwrap().state.messages, &0);
    });
}

#[test]
fn one_message_at_a_time_keeps_its_place_until_it_is_done() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = pull::Config {
            max_ack_pending: 1,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        publish(stage, 4).await;
        let mut order = Vec::new();
        for step in 0..7 {
            let message = crate::stage::take_one(&consumer).await;
            order.push(crate::transcript::delivery(&message));
            let kind = if step % 2 == 0 {
                AckKind::Nak(None)
            } else {
                AckKind::Ack
            };
            message.double_ack_with(kind).await.unwrap();
        }
        stage.sees(
            order,
            &[
                "0 #1 attempt 1",
                "0 #1 attempt 2",
                "1 #2 attempt 1",
                "1 #2 attempt 2",
                "2 #3 attempt 1",
                "2 #3 attempt 2",
                "3 #4 attempt 1",
            ],
        );
    });
}

#[test]
fn publishers_at_the_same_time_get_sequences_of_their_own() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let publishers = (0..4).map(|publisher| async move {
            let js = async_nats::jetstream::new(stage.connect().await);
            let mut sequences = Vec::new();
            for number in 0..25 {
                let payload = format!("{publisher} {number}");
                let sent = js.publish("orders.new", payload.into()).await.unwrap();
                sequences.push(sent.await.unwrap().sequence);
            }
            sequences
        });
        let parts = futures::future::join_all(publishers).await;
        stage.sees(parts.iter().all(|part| part.is_sorted()), &true);
        let mut all = parts.concat();
        all.sort_unstable();
        stage.sees(all == (1..=100).collect::<Vec<_>>(), &true);
        let mut last: BTreeMap<String, u32> = BTreeMap::new();
        let mut in_order = true;
        for sequence in 1..=100 {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let payload = text(&message.payload);
            let (publisher, number) = payload.split_once(' ').unwrap();
            let number: u32 = number.parse().unwrap();
            in_order &= last
                .insert(publisher.to_owned(), number)
                .is_none_or(|last| last < number);
        }
        stage.sees(in_order, &true);
    });
}
