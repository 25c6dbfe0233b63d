//! What a publisher is told. <https://docs.nats.io/nats-concepts/jetstream/streams>, ADR-22

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, context::PublishErrorKind};
use serde_json::json;

use super::{contents, state};
use crate::stage::{check, next, soon, stream_config};
use crate::transcript::{outcome, said};

#[test]
fn a_publisher_is_told_stream_and_sequence() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        for sequence in 1..=3 {
            let sent = stage.js.publish("orders.new", "a".into()).await.unwrap();
            let ack = sent.await.unwrap();
            stage.sees(ack.stream, "ORDERS");
            stage.sees(ack.sequence, &sequence);
            stage.sees(ack.duplicate, &false);
        }
        let answer = stage.publish_raw("orders.new", &[], "a").await;
        stage.sees(answer, &json!({ "stream": "ORDERS", "seq": 4 }));
    });
}

#[test]
fn what_no_stream_takes_is_an_error() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let sent = stage.js.publish("others.new", "a".into()).await.unwrap();
        let kind = sent.await.map_err(|error| error.kind()).err();
        stage.sees(kind, &Some(PublishErrorKind::StreamNotFound));
    });
}

#[test]
fn a_message_without_a_reply_subject_is_stored_too() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage
            .client
            .publish("orders.new", "a".into())
            .await
            .unwrap();
        stage.store("orders.new", &["b"]).await;
        stage.sees(contents(&stream).await, &["1 a", "2 b"]);
    });
}

#[test]
fn subscribers_hear_what_a_stream_stores() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let mut messages = stage.client.subscribe("orders.*").await.unwrap();
        stage.store("orders.new", &["a"]).await;
        let message = next(&mut messages).await;
        stage.sees(said(&message), "a");
        stage.sees(message.reply.is_some(), &true);
        stage.sees(soon(&mut messages).await.is_none(), &true);
    });
}

#[test]
fn patterns_of_one_stream_may_not_overlap() {
    check(async |stage| {
        let made = stage
            .js
            .create_stream(stream_config("ORDERS", &["orders.*", "*.paid"]))
            .await;
        stage.compares(outcome(made.map(drop)));
        let made = stage
            .js
            .create_stream(stream_config("ORDERS", &["orders.*", "mail.*"]))
            .await;
        stage.sees(made.is_ok(), &true);
    });
}

#[test]
fn many_publishes_under_way_are_stored_in_order() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let mut acks = Vec::new();
        for number in 0..100_u32 {
            let sent = stage.js.publish("orders.new", number.to_string().into());
            acks.push(sent.await.unwrap());
        }
        let mut sequences = Vec::new();
        for ack in acks {
            sequences.push(ack.await.unwrap().sequence);
        }
        stage.sees(sequences == (1..=100).collect::<Vec<_>>(), &true);
        stage.sees(state(&stream).await, "100 in 1..100");
    });
}

#[test]
fn headers_are_stored_with_the_message() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let publish = jetstream::message::PublishMessage::build().payload("a".into());
        let publish = publish.header("Colour", "red").message_id("one");
        let sent = stage.js.send_publish("orders.new", publish).await.unwrap();
        sent.await.unwrap();
        let message = stream.get_raw_message(1).await.unwrap();
        stage.sees(
            message.headers.get("Colour").map(ToString::to_string),
            &Some("red"),
        );
        stage.sees(
            message.headers.get("Nats-Msg-Id").map(ToString::to_string),
            &Some("one"),
        );
    });
}

#[test]
fn a_stream_without_acks_is_silent() {
    check(async |stage| {
        let config = Config {
            no_ack: true,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        let mut answers = stage.client.subscribe("answers").await.unwrap();
        let sent = stage
            .client
            .publish_with_reply("orders.new", "answers", "a".into());
        sent.await.unwrap();
        stage.sees(soon(&mut answers).await.is_none(), &true);
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn an_expectation_of_the_stream_is_checked() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let publish = jetstream::message::PublishMessage::build().expected_stream("MAIL");
        let sent = stage.js.send_publish("orders.new", publish).await.unwrap();
        stage.compares(outcome(sent.await));
        let publish = jetstream::message::PublishMessage::build().expected_stream("ORDERS");
        let sent = stage.js.send_publish("orders.new", publish).await.unwrap();
        stage.sees(sent.await.map(|ack| ack.sequence).unwrap(), &1);
    });
}
