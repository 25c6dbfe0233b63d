//! Removing single messages. <https://docs.nats.io/nats-concepts/jetstream/streams>

use async_nats::jetstream::stream::Config;
use serde_json::json;

use super::{contents, state};
use crate::stage::{check, durable, stream_config, take};
use crate::transcript::payloads;

#[test]
fn a_deleted_message_leaves_a_gap() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a", "b", "c"]).await;
        stage.sees(stream.delete_message(2).await.unwrap(), &true);
        stage.sees(contents(&stream).await, &["1 a", "3 c"]);
        stage.sees(state(&stream).await, "2 in 1..3");
        let info = stream
            .info_builder()
            .with_deleted(true)
            .fetch()
            .await
            .unwrap();
        stage.sees(info.info.state.deleted_count, &Some(1));
        stage.sees(info.info.state.deleted, &Some([2]));
    });
}

#[test]
fn deleting_the_ends_moves_the_first_but_not_the_last() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a", "b", "c"]).await;
        stream.delete_message(1).await.unwrap();
        stage.sees(state(&stream).await, "2 in 2..3");
        stream.delete_message(3).await.unwrap();
        stage.sees(state(&stream).await, "1 in 2..3");
        stage.store("orders.a", &["d"]).await;
        stage.sees(contents(&stream).await, &["2 b", "4 d"]);
        stream.delete_message(2).await.unwrap();
        stage.sees(state(&stream).await, "1 in 4..4");
    });
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a"]).await;
        let delete = async |sequence: u64| {
            stage
                .api_error("STREAM.MSG.DELETE.ORDERS", json!({ "seq": sequence }))
                .await
        };
        stage.compares(delete(7).await);
        stage.sees(delete(1).await, "ok");
        stage.compares(delete(1).await);
        stage.compares(delete(0).await);
    });
}

#[test]
fn deletes_can_be_denied() {
    check(async |stage| {
        let config = Config {
            deny_delete: true,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.a", &["a"]).await;
        let denied = stage
            .api_error("STREAM.MSG.DELETE.ORDERS", json!({ "seq": 1 }))
            .await;
        stage.compares(denied);
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn a_consumer_passes_over_what_is_deleted() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a", "b", "c"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stream.delete_message(2).await.unwrap();
        stage.sees(consumer.get_info().await.unwrap().num_pending, &2);
        let messages = take(&consumer, 2).await;
        stage.sees(payloads(&messages), &["a", "c"]);
        stage.sees(messages[1].info().unwrap().consumer_sequence, &2);
    });
}

#[test]
fn a_message_that_is_deleted_while_it_is_out_does_not_come_again() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a", "b"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        take(&consumer, 2).await;
        stream.delete_message(1).await.unwrap();
        let again = take(&consumer, 1).await;
        stage.sees(payloads(&again), &["b"]);
    });
}
