//! Consumers that are paused until a time. ADR-47

use std::time::Duration;

use async_nats::datetime::{add_std_duration, now};
use async_nats::jetstream::consumer::DeliverPolicy;
use serde_json::{Value, json};

use crate::stage::{A_WHILE, check, durable, take, within};
use crate::transcript::payloads;

const PAUSE: &str = "CONSUMER.PAUSE.ORDERS.worker";

/// A request to pause for `time` from now on.
fn pausing(time: Duration) -> Value {
    let start_time = add_std_duration(now(), time).unwrap();
    // A policy is the one place where the client writes down a time in the API's form.
    let policy = serde_json::to_value(DeliverPolicy::ByStartTime { start_time });
    json!({ "pause_until": policy.unwrap()["opt_start_time"] })
}

#[test]
fn a_paused_consumer_delivers_nothing_until_it_is_resumed() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let paused = stage.api(PAUSE, pausing(Duration::from_secs(60))).await;
        stage.sees(&paused["paused"], &json!(true));
        let info = stage.api("CONSUMER.INFO.ORDERS.worker", json!(null)).await;
        stage.sees(&info["paused"], &json!(true));
        stage.sees(within(&consumer, 1, A_WHILE).await.len(), &0);
        let resumed = stage.api(PAUSE, json!({})).await;
        stage.sees(&resumed["paused"], &json!(false));
        stage.sees(payloads(&take(&consumer, 1).await), &["a"]);
    });
}

#[test]
fn a_pause_ends_by_itself() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stage.api(PAUSE, pausing(Duration::from_millis(400))).await;
        stage.sees(payloads(&take(&consumer, 1).await), &["a"]);
    });
}

#[test]
fn a_consumer_that_is_not_there_cannot_be_paused() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let refused = stage
            .api_error("CONSUMER.PAUSE.ORDERS.none", pausing(A_WHILE))
            .await;
        stage.sees(refused, "404 10014 consumer not found");
    });
}
