//! How much a consumer has out at a time.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers> (MaxAckPending, MaxWaiting, MaxRequest...)

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use serde_json::json;

use crate::stage::{A_WHILE, ACK_WAIT, Stage, caught_up, check, durable, next, soon, take, within};
use crate::transcript::{deliveries, payloads, said};

async fn worker(stage: &Stage, config: pull::Config) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", &["a", "b", "c", "d", "e"]).await;
    stream.create_consumer(config).await.unwrap()
}

fn two_out() -> pull::Config {
    pull::Config {
        max_ack_pending: 2,
        ack_wait: Duration::from_secs(30),
        ..durable("worker")
    }
}

#[test]
fn no_more_than_allowed_is_out_at_a_time() {
    check(async |stage| {
        let consumer = worker(stage, two_out()).await;
        let out = within(&consumer, 5, A_WHILE).await;
        stage.sees(payloads(&out), &["a", "b"]);
        stage.sees(within(&consumer, 5, A_WHILE).await.len(), &0);
        out[0].double_ack().await.unwrap();
        stage.sees(payloads(&within(&consumer, 5, A_WHILE).await), &["c"]);
        out[1].double_ack_with(AckKind::Term).await.unwrap();
        stage.sees(payloads(&within(&consumer, 5, A_WHILE).await), &["d"]);
    });
}

#[test]
fn a_pull_that_waits_goes_on_when_there_is_room_again() {
    check(async |stage| {
        let consumer = worker(stage, two_out()).await;
        let mut answers = stage
            .pull(
                "ORDERS",
                "worker",
                json!({ "batch": 5, "expires": 10_000_000_000_u64 }),
            )
            .await;
        let first = next(&mut answers).await;
        let second = next(&mut answers).await;
        stage.sees(soon(&mut answers).await.is_none(), &true);
        stage
            .client
            .publish(first.reply.unwrap(), "+ACK".into())
            .await
            .unwrap();
        stage.sees(said(&next(&mut answers).await), "c");
        stage
            .client
            .publish(second.reply.unwrap(), "+ACK".into())
            .await
            .unwrap();
        stage.sees(said(&next(&mut answers).await), "d");
        stage.sees(consumer.get_info().await.unwrap().num_ack_pending, &2);
    });
}

#[test]
fn what_comes_again_does_not_need_more_room() {
    check(async |stage| {
        let config = pull::Config {
            ack_wait: ACK_WAIT,
            ..two_out()
        };
        let consumer = worker(stage, config).await;
        take(&consumer, 2).await;
        let again = take(&consumer, 2).await;
        stage.sees(deliveries(&again), &["a #1 attempt 2", "b #2 attempt 2"]);
    });
}

#[test]
fn a_nak_does_not_make_room_for_others() {
    check(async |stage| {
        let consumer = worker(stage, two_out()).await;
        let out = take(&consumer, 2).await;
        let delay = AckKind::Nak(Some(Duration::from_secs(20)));
        out[0].double_ack_with(delay).await.unwrap();
        stage.sees(within(&consumer, 5, A_WHILE).await.len(), &0);
    });
}

#[test]
fn only_so_many_pulls_wait_at_a_time() {
    check(async |stage| {
        let config = pull::Config {
            max_waiting: 2,
            ..durable("worker")
        };
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let consumer = stream.create_consumer(config).await.unwrap();
        let request = || json!({ "batch": 1, "expires": 10_000_000_000_u64 });
        let mut first = stage.pull("ORDERS", "worker", request()).await;
        let mut second = stage.pull("ORDERS", "worker", request()).await;
        stage.sees(consumer.get_info().await.unwrap().num_waiting, &2);
        let mut third = stage.pull("ORDERS", "worker", request()).await;
        stage.sees(said(&next(&mut third).await), "409 Exceeded MaxWaiting");
        stage.store("orders.new", &["a", "b"]).await;
        stage.sees(said(&next(&mut first).await), "a");
        stage.sees(said(&next(&mut second).await), "b");
        stage.sees(consumer.get_info().await.unwrap().num_waiting, &0);
    });
}

#[test]
fn requests_are_limited() {
    check(async |stage| {
        let config = pull::Config {
            max_batch: 2,
            max_bytes: 1000,
            max_expires: Duration::from_secs(1),
            ..durable("worker")
        };
        worker(stage, config).await;
        for request in [
            json!({ "batch": 3, "expires": 500_000_000 }),
            json!({ "batch": 1, "expires": 2_000_000_000 }),
            json!({ "batch": 1, "expires": 500_000_000, "max_bytes": 2000 }),
        ] {
            let mut answers = stage.pull("ORDERS", "worker", request).await;
            let answer = soon(&mut answers).await.map(|answer| said(&answer));
            stage.compares(format!("{answer:?}"));
        }
    });
}

#[test]
fn a_limit_that_is_raised_makes_room() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let consumer = stream.create_consumer(two_out()).await.unwrap();
        take(&consumer, 2).await;
        let more = pull::Config {
            max_ack_pending: 3,
            ..two_out()
        };
        let consumer = stream.update_consumer(more).await.unwrap();
        stage.sees(payloads(&take(&consumer, 1).await), &["c"]);
    });
}

#[test]
fn an_ack_wakes_all_who_wait_only_for_one_message() {
    check(async |stage| {
        worker(stage, two_out()).await;
        let request = || json!({ "batch": 1, "expires": 10_000_000_000_u64 });
        let mut pulls = Vec::new();
        for _ in 0..4 {
            pulls.push(stage.pull("ORDERS", "worker", request()).await);
        }
        let first = next(&mut pulls[0]).await;
        stage.sees(said(&first), "a");
        stage.sees(said(&next(&mut pulls[1]).await), "b");
        stage
            .client
            .publish(first.reply.unwrap(), "+ACK".into())
            .await
            .unwrap();
        caught_up(&stage.client).await;
        stage.sees(said(&next(&mut pulls[2]).await), "c");
        stage.sees(soon(&mut pulls[3]).await.is_none(), &true);
    });
}

#[test]
fn a_request_that_does_not_wait_finds_no_room() {
    check(async |stage| {
        let consumer = worker(stage, two_out()).await;
        take(&consumer, 2).await;
        let mut answers = stage
            .pull("ORDERS", "worker", json!({ "batch": 1, "no_wait": true }))
            .await;
        let answer = soon(&mut answers).await;
        stage.compares(format!("{:?}", answer.map(|answer| said(&answer))));
        let request = json!({ "batch": 1, "expires": 200_000_000 });
        let mut answers = stage.pull("ORDERS", "worker", request).await;
        stage.sees(said(&next(&mut answers).await), "408 Request Timeout");
    });
}
