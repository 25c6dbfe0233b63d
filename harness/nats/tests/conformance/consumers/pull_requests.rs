//! Pull requests in the API's own words, and how they are served. ADR-37, ADR-42
//! <https://docs.nats.io/reference/reference-protocols/nats_api_reference> ($JS.API.CONSUMER.MSG.NEXT)

use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use serde_json::json;

use crate::stage::{A_WHILE, Stage, caught_up, check, durable, next, soon};
use crate::transcript::said;

const LONG: u64 = 10_000_000_000;

async fn worker(stage: &Stage, payloads: &[&str]) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", payloads).await;
    let config = pull::Config {
        ack_wait: Duration::from_secs(30),
        ..durable("worker")
    };
    stream.create_consumer(config).await.unwrap()
}

/// All that comes within a while, in order.
async fn all(answers: &mut Subscriber) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(message) = soon(answers).await {
        all.push(said(&message));
    }
    all
}

#[test]
fn an_empty_request_is_for_one_message() {
    check(async |stage| {
        worker(stage, &["a", "b"]).await;
        let inbox = stage.client.new_inbox();
        let mut answers = stage.client.subscribe(inbox.clone()).await.unwrap();
        let next = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.worker";
        let asked = stage
            .client
            .publish_with_reply(next, inbox.clone(), "".into());
        asked.await.unwrap();
        stage.sees(all(&mut answers).await, &["a"]);
        let asked = stage.client.publish_with_reply(next, inbox, "3".into());
        asked.await.unwrap();
        stage.sees(all(&mut answers).await, &["b"]);
    });
}

#[test]
fn requests_are_served_in_turn() {
    check(async |stage| {
        worker(stage, &[]).await;
        let request = || json!({ "batch": 2, "expires": LONG });
        let mut first = stage.pull("ORDERS", "worker", request()).await;
        let mut second = stage.pull("ORDERS", "worker", request()).await;
        stage.store("orders.new", &["a", "b", "c", "d", "e"]).await;
        // One message each, in turn.
        stage.compares(format!(
            "{:?} {:?}",
            all(&mut first).await,
            all(&mut second).await
        ));
    });
}

#[test]
fn what_is_there_goes_to_the_first_who_asks() {
    check(async |stage| {
        worker(stage, &["a", "b", "c"]).await;
        let request = || json!({ "batch": 2, "expires": LONG });
        let mut first = stage.pull("ORDERS", "worker", request()).await;
        stage.sees(all(&mut first).await, &["a", "b"]);
        let mut second = stage.pull("ORDERS", "worker", request()).await;
        stage.sees(all(&mut second).await, &["c"]);
        stage.store("orders.new", &["d", "e"]).await;
        stage.sees(all(&mut second).await, &["d"]);
        stage.sees(all(&mut first).await.is_empty(), &true);
    });
}

#[test]
fn a_request_that_does_not_wait_takes_what_is_there() {
    check(async |stage| {
        worker(stage, &["a", "b"]).await;
        let mut answers = stage
            .pull("ORDERS", "worker", json!({ "batch": 5, "no_wait": true }))
            .await;
        stage.compares(format!("{:?}", all(&mut answers).await));
        let mut answers = stage
            .pull("ORDERS", "worker", json!({ "batch": 5, "no_wait": true }))
            .await;
        stage.sees(all(&mut answers).await, &["404 No Messages"]);
    });
}

#[test]
fn a_request_that_does_not_wait_ends_when_it_is_full() {
    check(async |stage| {
        worker(stage, &["a", "b"]).await;
        let mut answers = stage
            .pull("ORDERS", "worker", json!({ "batch": 2, "no_wait": true }))
            .await;
        stage.sees(all(&mut answers).await, &["a", "b"]);
    });
}

#[test]
fn not_waiting_with_an_expiry_waits_for_a_first_message() {
    check(async |stage| {
        worker(stage, &[]).await;
        let request = json!({ "batch": 2, "no_wait": true, "expires": LONG });
        let mut answers = stage.pull("ORDERS", "worker", request).await;
        stage.compares(format!("{:?}", all(&mut answers).await));
        stage.store("orders.new", &["a"]).await;
        stage.compares(format!("{:?}", all(&mut answers).await));
    });
}

#[test]
fn a_request_that_expires_says_what_was_left() {
    check(async |stage| {
        worker(stage, &["a"]).await;
        let mut answers = stage
            .pull(
                "ORDERS",
                "worker",
                json!({ "batch": 3, "expires": 200_000_000 }),
            )
            .await;
        stage.sees(said(&next(&mut answers).await), "a");
        let status = next(&mut answers).await;
        stage.sees(said(&status), "408 Request Timeout");
        let headers = status.headers.unwrap();
        stage.sees(
            headers
                .get("Nats-Pending-Messages")
                .map(ToString::to_string),
            &Some("2"),
        );
        stage.sees(
            headers.get("Nats-Pending-Bytes").map(ToString::to_string),
            &Some("0"),
        );
    });
}

#[test]
fn an_expired_request_takes_nothing_any_more() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        let mut answers = stage
            .pull(
                "ORDERS",
                "worker",
                json!({ "batch": 3, "expires": 100_000_000 }),
            )
            .await;
        stage.sees(said(&next(&mut answers).await), "408 Request Timeout");
        stage.store("orders.new", &["a"]).await;
        stage.sees(all(&mut answers).await.is_empty(), &true);
        stage.sees(consumer.get_info().await.unwrap().num_pending, &1);
    });
}

#[test]
fn bytes_of_a_request_are_limited() {
    check(async |stage| {
        let payload = "x".repeat(200);
        worker(stage, &[&payload, &payload, &payload]).await;
        let request = json!({ "batch": 10, "max_bytes": 700, "expires": LONG });
        let mut answers = stage.pull("ORDERS", "worker", request).await;
        let all: Vec<_> = all(&mut answers)
            .await
            .iter()
            .map(|said| said.replace(&payload, "x"))
            .collect();
        stage.sees(
            all.contains(&"409 Message Size Exceeds MaxBytes".to_owned()),
            &true,
        );
        stage.compares(format!("{all:?}"));
    });
}

#[test]
fn a_message_that_is_larger_than_a_request_may_be_is_left() {
    check(async |stage| {
        let consumer = worker(stage, &[&"x".repeat(500)]).await;
        let request = json!({ "batch": 1, "max_bytes": 100, "expires": LONG });
        let mut answers = stage.pull("ORDERS", "worker", request).await;
        stage.sees(
            all(&mut answers).await,
            &["409 Message Size Exceeds MaxBytes"],
        );
        let info = consumer.get_info().await.unwrap();
        stage.sees((info.num_ack_pending, info.num_pending), &(0, 1));
    });
}

#[test]
fn a_waiting_request_is_told_that_the_server_is_there() {
    check(async |stage| {
        worker(stage, &[]).await;
        let request =
            json!({ "batch": 1, "expires": 1_000_000_000, "idle_heartbeat": 150_000_000 });
        let mut answers = stage.pull("ORDERS", "worker", request).await;
        for _ in 0..3 {
            stage.sees(said(&next(&mut answers).await), "100 Idle Heartbeat");
        }
        loop {
            let status = said(&next(&mut answers).await);
            if status != "100 Idle Heartbeat" {
                stage.sees(status, "408 Request Timeout");
                break;
            }
        }
    });
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    check(async |stage| {
        worker(stage, &[]).await;
        for request in [
            json!({ "batch": -1, "expires": 100_000_000 }),
            json!({ "batch": 0, "expires": 100_000_000 }),
            json!({ "batch": 1, "expires": -5 }),
            json!({ "batch": 1, "idle_heartbeat": 100_000_000 }),
            json!({ "batch": 1, "expires": 300_000_000, "idle_heartbeat": 200_000_000 }),
            json!({ "batch": 1, "expires": 100_000_000, "max_bytes": -1 }),
            json!({ "batch": "x" }),
            json!([]),
        ] {
            let mut answers = stage.pull("ORDERS", "worker", request.clone()).await;
            stage.compares(format!("{request}: {:?}", all(&mut answers).await));
        }
    });
}

#[test]
fn a_request_to_a_consumer_that_is_not_there_has_no_responders() {
    check(async |stage| {
        worker(stage, &[]).await;
        let mut answers = stage
            .pull("ORDERS", "none", json!({ "batch": 1, "expires": LONG }))
            .await;
        let answer = next(&mut answers).await;
        stage.sees(answer.status.map(|status| status.as_u16()), &Some(503));
        let mut answers = stage
            .pull("NONE", "worker", json!({ "batch": 1, "expires": LONG }))
            .await;
        let answer = next(&mut answers).await;
        stage.sees(answer.status.map(|status| status.as_u16()), &Some(503));
    });
}

#[test]
fn a_request_whose_asker_is_gone_takes_nothing() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        let gone = stage
            .pull("ORDERS", "worker", json!({ "batch": 2, "expires": LONG }))
            .await;
        drop(gone);
        tokio::time::sleep(A_WHILE).await;
        caught_up(&stage.client).await;
        let mut stays = stage
            .pull("ORDERS", "worker", json!({ "batch": 2, "expires": LONG }))
            .await;
        stage.store("orders.new", &["a", "b"]).await;
        stage.sees(all(&mut stays).await, &["a", "b"]);
        stage.sees(consumer.get_info().await.unwrap().num_redelivered, &0);
    });
}

#[test]
fn requests_without_an_expiry_wait_as_well() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        let mut answers = stage.pull("ORDERS", "worker", json!({ "batch": 2 })).await;
        stage.sees(consumer.get_info().await.unwrap().num_waiting, &1);
        stage.store("orders.new", &["a", "b", "c"]).await;
        stage.sees(all(&mut answers).await, &["a", "b"]);
        stage.sees(consumer.get_info().await.unwrap().num_waiting, &0);
    });
}

#[test]
fn a_push_consumer_cannot_be_pulled_from() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = async_nats::jetstream::consumer::push::Config {
            durable_name: Some("push".to_owned()),
            deliver_subject: "deliveries".to_owned(),
            ..Default::default()
        };
        stream.create_consumer(config).await.unwrap();
        let mut answers = stage
            .pull(
                "ORDERS",
                "push",
                json!({ "batch": 1, "expires": 200_000_000 }),
            )
            .await;
        stage.compares(format!("{:?}", all(&mut answers).await));
    });
}
