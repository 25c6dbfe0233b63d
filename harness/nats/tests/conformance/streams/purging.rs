//! Removing many messages at once.
//! <https://docs.nats.io/nats-concepts/jetstream/streams> ("Purging a stream"), ADR-10

use async_nats::jetstream::stream::{Config, Stream};
use serde_json::json;

use super::{contents, state};
use crate::stage::{Stage, check, durable, stream_config};
use crate::transcript::payloads;

/// A stream with a1 b2 a3 b4 a5.
async fn mixed(stage: &Stage) -> Stream {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    for (subject, payload) in [
        ("a", "a1"),
        ("b", "b2"),
        ("a", "a3"),
        ("b", "b4"),
        ("a", "a5"),
    ] {
        stage.store(&format!("orders.{subject}"), &[payload]).await;
    }
    stream
}

#[test]
fn a_purge_removes_everything_and_sequences_go_on() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().await.unwrap();
        stage.sees((purged.success, purged.purged), &(true, 5));
        stage.sees(state(&stream).await, "0 in 6..5");
        stage.store("orders.a", &["a6"]).await;
        stage.sees(contents(&stream).await, &["6 a6"]);
    });
}

#[test]
fn a_purge_can_be_for_one_subject() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().filter("orders.a").await.unwrap();
        stage.sees(purged.purged, &3);
        stage.sees(contents(&stream).await, &["2 b2", "4 b4"]);
        stage.sees(state(&stream).await, "2 in 2..5");
    });
}

#[test]
fn a_purge_can_be_for_a_pattern() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().filter("orders.*").await.unwrap();
        stage.sees(purged.purged, &5);
        stage.sees(
            stream.purge().filter("orders.none").await.unwrap().purged,
            &0,
        );
    });
}

#[test]
fn a_purge_can_keep_the_newest() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().keep(2).await.unwrap();
        stage.sees(purged.purged, &3);
        stage.sees(contents(&stream).await, &["4 b4", "5 a5"]);
    });
}

#[test]
fn a_purge_can_keep_the_newest_of_a_subject() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().filter("orders.a").keep(1).await.unwrap();
        stage.sees(purged.purged, &2);
        stage.sees(contents(&stream).await, &["2 b2", "4 b4", "5 a5"]);
    });
}

#[test]
fn a_purge_can_go_up_to_a_sequence() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().sequence(4).await.unwrap();
        stage.sees(purged.purged, &3);
        stage.sees(contents(&stream).await, &["4 b4", "5 a5"]);
    });
}

#[test]
fn a_purge_can_go_up_to_a_sequence_of_a_subject() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().filter("orders.b").sequence(4).await.unwrap();
        stage.sees(purged.purged, &1);
        stage.sees(contents(&stream).await, &["1 a1", "3 a3", "4 b4", "5 a5"]);
    });
}

#[test]
fn a_sequence_and_a_number_to_keep_exclude_each_other() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let refused = stage
            .api_error("STREAM.PURGE.ORDERS", json!({ "seq": 3, "keep": 1 }))
            .await;
        stage.compares(refused);
        stage.sees(state(&stream).await, "5 in 1..5");
    });
}

#[test]
fn a_purge_beyond_the_end_removes_everything() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let purged = stream.purge().sequence(100).await.unwrap();
        stage.compares(purged.purged);
        stage.compares(state(&stream).await);
    });
}

#[test]
fn a_purge_can_be_denied() {
    check(async |stage| {
        let config = Config {
            deny_purge: true,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.a", &["a"]).await;
        stage.compares(stage.api_error("STREAM.PURGE.ORDERS", json!({})).await);
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn a_consumer_goes_on_after_a_purge() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stream.purge().await.unwrap();
        stage.sees(consumer.get_info().await.unwrap().num_pending, &0);
        stage.store("orders.a", &["a6"]).await;
        let messages = crate::stage::take(&consumer, 1).await;
        stage.sees(payloads(&messages), &["a6"]);
    });
}

#[test]
fn what_is_purged_is_no_longer_waited_for() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        crate::stage::take(&consumer, 3).await;
        stream.purge().await.unwrap();
        let info = consumer.get_info().await.unwrap();
        stage.sees((info.num_pending, info.num_ack_pending), &(0, 0));
        let floor = (
            info.ack_floor.consumer_sequence,
            info.ack_floor.stream_sequence,
        );
        stage.compares(format!("{floor:?}"));
        let again = crate::stage::within(&consumer, 1, crate::stage::ACK_WAIT * 2).await;
        stage.sees(again.len(), &0);
    });
}
