//! Limits of streams, and what is discarded when they are met.
//! <https://docs.nats.io/nats-concepts/jetstream/streams#configuration>

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy};

use super::{contents, state};
use crate::stage::{Stage, check, stream_config};
use crate::transcript::error_of;

/// What becomes of a publish.
async fn published(stage: &Stage, subject: &str, payload: &str) -> String {
    error_of(&stage.publish_raw(subject, &[], payload).await)
}

#[test]
fn the_oldest_give_way_to_new_messages() {
    check(async |stage| {
        let config = Config {
            max_messages: 3,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.new", &["a", "b", "c", "d", "e"]).await;
        stage.sees(contents(&stream).await, &["3 c", "4 d", "5 e"]);
        stage.sees(state(&stream).await, "3 in 3..5");
    });
}

#[test]
fn new_messages_are_refused_where_the_old_stay() {
    check(async |stage| {
        let config = Config {
            max_messages: 2,
            discard: DiscardPolicy::New,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.new", &["a", "b"]).await;
        let refused = published(stage, "orders.new", "c").await;
        stage.sees(refused, "503 10077 maximum messages exceeded");
        stage.sees(contents(&stream).await, &["1 a", "2 b"]);
        stream.delete_message(1).await.unwrap();
        stage.sees(published(stage, "orders.new", "d").await, "ok");
        stage.sees(contents(&stream).await, &["2 b", "3 d"]);
    });
}

#[test]
fn bytes_are_limited_too() {
    check(async |stage| {
        let config = Config {
            max_bytes: 1000,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        let payload = "x".repeat(300);
        for _ in 0..5 {
            stage.store("orders.new", &[&payload]).await;
        }
        let info = stream.get_info().await.unwrap().state;
        stage.sees(info.bytes <= 1000, &true);
        stage.sees(info.last_sequence, &5);
        stage.sees(info.messages > 0, &true);
        stage.compares(format!("{} messages", info.messages));
    });
}

#[test]
fn bytes_over_the_limit_are_refused_where_the_old_stay() {
    check(async |stage| {
        let config = Config {
            max_bytes: 1000,
            discard: DiscardPolicy::New,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        let payload = "x".repeat(700);
        stage.sees(published(stage, "orders.new", &payload).await, "ok");
        let refused = published(stage, "orders.new", &payload).await;
        stage.sees(refused, "503 10077 maximum bytes exceeded");
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn a_message_over_the_limit_of_its_size_is_refused() {
    check(async |stage| {
        let config = Config {
            max_message_size: 100,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.sees(published(stage, "orders.new", &"x".repeat(100)).await, "ok");
        let refused = published(stage, "orders.new", &"x".repeat(101)).await;
        stage.sees(refused, "400 10054 message size exceeds maximum allowed");
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn headers_count_for_the_size_of_a_message() {
    check(async |stage| {
        let config = Config {
            max_message_size: 100,
            ..stream_config("ORDERS", &["orders.>"])
        };
        stage.stream_with(config).await;
        let headers = [("Name", "value")];
        let refused = stage
            .publish_raw("orders.new", &headers, &"x".repeat(90))
            .await;
        stage.compares(error_of(&refused));
    });
}

#[test]
fn messages_grow_old() {
    check(async |stage| {
        let config = Config {
            max_age: Duration::from_millis(300),
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.new", &["a", "b"]).await;
        stage.sees(state(&stream).await, "2 in 1..2");
        tokio::time::sleep(Duration::from_millis(900)).await;
        stage.sees(state(&stream).await, "0 in 3..2");
        stage.store("orders.new", &["c"]).await;
        stage.sees(contents(&stream).await, &["3 c"]);
    });
}

#[test]
fn each_subject_keeps_its_newest_messages() {
    check(async |stage| {
        let config = Config {
            max_messages_per_subject: 2,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.a", &["a1", "a2"]).await;
        stage.store("orders.b", &["b1"]).await;
        stage.store("orders.a", &["a3"]).await;
        stage.sees(contents(&stream).await, &["2 a2", "3 b1", "4 a3"]);
        stage.store("orders.b", &["b2", "b3", "b4"]).await;
        stage.sees(contents(&stream).await, &["2 a2", "4 a3", "6 b3", "7 b4"]);
        stage.sees(state(&stream).await, "4 in 2..7");
    });
}

#[test]
fn a_subject_can_refuse_new_messages() {
    check(async |stage| {
        let config = Config {
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.sees(published(stage, "orders.a", "a1").await, "ok");
        stage.sees(published(stage, "orders.b", "b1").await, "ok");
        let refused = published(stage, "orders.a", "a2").await;
        stage.sees(refused, "503 10077 maximum messages per subject exceeded");
        stage.sees(contents(&stream).await, &["1 a1", "2 b1"]);
    });
}

#[test]
fn a_limit_that_comes_with_an_update_holds_at_once() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a", "b", "c", "d"]).await;
        let config = Config {
            max_messages: 2,
            ..stream_config("ORDERS", &["orders.>"])
        };
        stage.js.update_stream(config).await.unwrap();
        stage.sees(contents(&stream).await, &["3 c", "4 d"]);
    });
}

#[test]
fn the_number_of_consumers_can_be_limited() {
    check(async |stage| {
        let config = Config {
            max_consumers: 1,
            ..stream_config("ORDERS", &["orders.>"])
        };
        stage.stream_with(config).await;
        let durable = || serde_json::json!({ "ack_policy": "explicit" });
        stage.sees(
            stage.consumer_error("ORDERS", "first", durable()).await,
            "ok",
        );
        stage.sees(
            stage.consumer_error("ORDERS", "first", durable()).await,
            "ok",
        );
        let refused = stage.consumer_error("ORDERS", "second", durable()).await;
        stage.sees(refused, "400 10026 maximum consumers limit reached");
    });
}

#[test]
fn a_rollup_takes_the_place_of_what_was_before() {
    check(async |stage| {
        let config = Config {
            allow_rollup: true,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.a", &["a1", "a2"]).await;
        stage.store("orders.b", &["b1"]).await;
        stage
            .publish_raw("orders.a", &[("Nats-Rollup", "sub")], "a3")
            .await;
        stage.sees(contents(&stream).await, &["3 b1", "4 a3"]);
        stage
            .publish_raw("orders.a", &[("Nats-Rollup", "all")], "a4")
            .await;
        stage.sees(contents(&stream).await, &["5 a4"]);
    });
}

#[test]
fn a_rollup_that_is_not_allowed_is_refused() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a1"]).await;
        let refused = stage
            .publish_raw("orders.a", &[("Nats-Rollup", "sub")], "a2")
            .await;
        stage.compares(error_of(&refused));
        stage.sees(contents(&stream).await, &["1 a1"]);
    });
}
