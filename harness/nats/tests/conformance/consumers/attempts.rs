//! Messages whose attempts are used up.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers> (MaxDeliver)

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{PullConsumer, pull};

use crate::stage::{ACK_WAIT, Stage, caught_up, check, durable, next, take_one, within};
use crate::transcript::{deliveries, delivery};

async fn worker(stage: &Stage, max_deliver: i64, ack_wait: Duration) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", &["a", "b"]).await;
    let config = pull::Config {
        max_deliver,
        ack_wait,
        ..durable("worker")
    };
    stream.create_consumer(config).await.unwrap()
}

#[test]
fn a_message_is_delivered_at_most_as_often_as_allowed() {
    check(async |stage| {
        let consumer = worker(stage, 2, ACK_WAIT).await;
        let mut all = Vec::new();
        for _ in 0..4 {
            all.extend(deliveries(&within(&consumer, 5, ACK_WAIT * 3 / 2).await));
        }
        all.sort();
        stage.sees(
            all,
            &[
                "a #1 attempt 1",
                "a #1 attempt 2",
                "b #2 attempt 1",
                "b #2 attempt 2",
            ],
        );
    });
}

#[test]
fn an_advisory_tells_that_attempts_are_used_up() {
    check(async |stage| {
        let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.worker";
        let mut advisories = stage.client.subscribe(subject).await.unwrap();
        let consumer = worker(stage, 1, ACK_WAIT).await;
        take_one(&consumer).await;
        // Of two messages whose leases end together, the real server may tell of either first.
        take_one(&consumer).await.double_ack().await.unwrap();
        within(&consumer, 5, ACK_WAIT * 2).await;
        let advisory = next(&mut advisories).await;
        let advisory: serde_json::Value = serde_json::from_slice(&advisory.payload).unwrap();
        for field in ["stream", "consumer", "stream_seq", "deliveries", "type"] {
            stage.compares(format!("{field}: {}", advisory[field]));
        }
    });
}

#[test]
fn naks_use_up_attempts_as_well() {
    check(async |stage| {
        let consumer = worker(stage, 3, Duration::from_secs(30)).await;
        for attempt in 1..=3 {
            let message = take_one(&consumer).await;
            stage.sees(delivery(&message), &format!("a #1 attempt {attempt}"));
            message.ack_with(AckKind::Nak(None)).await.unwrap();
            caught_up(&stage.client).await;
        }
        stage.sees(delivery(&take_one(&consumer).await), "b #2 attempt 1");
        stage.sees(within(&consumer, 1, ACK_WAIT).await.len(), &0);
    });
}

#[test]
fn the_books_of_a_message_whose_attempts_are_used_up() {
    check(async |stage| {
        let consumer = worker(stage, 1, ACK_WAIT).await;
        take_one(&consumer).await;
        within(&consumer, 1, ACK_WAIT / 4)
            .await
            .pop()
            .unwrap()
            .double_ack()
            .await
            .unwrap();
        within(&consumer, 1, ACK_WAIT * 3).await;
        let info = consumer.get_info().await.unwrap();
        stage.compares(format!(
            "{} out, {} pending, {} redelivered, floor {}",
            info.num_ack_pending,
            info.num_pending,
            info.num_redelivered,
            info.ack_floor.stream_sequence
        ));
    });
}

#[test]
fn an_ack_after_the_last_attempt_counts() {
    check(async |stage| {
        let consumer = worker(stage, 1, ACK_WAIT).await;
        let last = take_one(&consumer).await;
        tokio::time::sleep(ACK_WAIT * 2).await;
        last.double_ack().await.unwrap();
        let info = consumer.get_info().await.unwrap();
        stage.compares(format!(
            "{} out, floor {}",
            info.num_ack_pending, info.ack_floor.stream_sequence
        ));
    });
}
