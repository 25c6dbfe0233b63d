//! A message whose id was stored within the window is not stored again.
//! <https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive#message-deduplication>

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use serde_json::json;

use super::{contents, state};
use crate::stage::{check, stream_config};

#[test]
fn an_id_is_stored_once() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let id = [("Nats-Msg-Id", "one")];
        let first = stage.publish_raw("orders.new", &id, "a").await;
        stage.sees(first, &json!({ "stream": "ORDERS", "seq": 1 }));
        stage.store("orders.new", &["b"]).await;
        let second = stage.publish_raw("orders.paid", &id, "c").await;
        stage.sees(
            second,
            &json!({ "stream": "ORDERS", "seq": 1, "duplicate": true }),
        );
        stage.sees(contents(&stream).await, &["1 a", "2 b"]);
    });
}

#[test]
fn the_window_begins_when_an_id_is_stored() {
    check(async |stage| {
        let config = Config {
            duplicate_window: Duration::from_millis(300),
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        let id = [("Nats-Msg-Id", "one")];
        stage.publish_raw("orders.new", &id, "a").await;
        let second = stage.publish_raw("orders.new", &id, "b").await;
        stage.sees(&second["duplicate"], &json!(true));
        tokio::time::sleep(Duration::from_millis(900)).await;
        let third = stage.publish_raw("orders.new", &id, "c").await;
        stage.sees(third, &json!({ "stream": "ORDERS", "seq": 2 }));
        stage.sees(contents(&stream).await, &["1 a", "2 c"]);
    });
}

#[test]
fn streams_have_ids_of_their_own() {
    check(async |stage| {
        let orders = stage.stream("ORDERS", &["orders.>"]).await;
        let mail = stage.stream("MAIL", &["mail.>"]).await;
        let id = [("Nats-Msg-Id", "one")];
        stage.publish_raw("orders.new", &id, "a").await;
        stage.publish_raw("mail.new", &id, "b").await;
        stage.sees(state(&orders).await, "1 in 1..1");
        stage.sees(state(&mail).await, "1 in 1..1");
    });
}

#[test]
fn an_id_is_known_after_its_message_is_deleted() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let id = [("Nats-Msg-Id", "one")];
        stage.publish_raw("orders.new", &id, "a").await;
        stream.delete_message(1).await.unwrap();
        let second = stage.publish_raw("orders.new", &id, "b").await;
        stage.compares(second);
        stream.purge().await.unwrap();
        let third = stage.publish_raw("orders.new", &id, "c").await;
        stage.compares(third);
    });
}

#[test]
fn ids_outlive_the_server() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let id = [("Nats-Msg-Id", "one")];
        stage.publish_raw("orders.new", &id, "a").await;
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        let second = stage.publish_raw("orders.new", &id, "b").await;
        stage.sees(
            second,
            &json!({ "stream": "ORDERS", "seq": 1, "duplicate": true }),
        );
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn the_window_is_not_longer_than_messages_live() {
    check(async |stage| {
        let config = Config {
            max_age: Duration::from_secs(10),
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        let config = &stream.cached_info().config;
        stage.sees(config.duplicate_window, &Duration::from_secs(10));
    });
}
