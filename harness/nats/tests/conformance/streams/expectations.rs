//! Publishes that hold only if the stream is as the publisher believes.
//! <https://docs.nats.io/nats-concepts/jetstream/headers>

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;

use super::state;
use crate::stage::{Stage, check};
use crate::transcript::error_of;

const LAST: &str = "Nats-Expected-Last-Sequence";
const LAST_OF_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence";
const LAST_ID: &str = "Nats-Expected-Last-Msg-Id";

/// What becomes of a publish to `subject` with one header.
async fn published(stage: &Stage, subject: &str, name: &str, value: &str) -> String {
    let answer = stage.publish_raw(subject, &[(name, value)], "x").await;
    match error_of(&answer) {
        error if error != "ok" => error,
        _ => format!("stored as {}", answer["seq"]),
    }
}

#[test]
fn the_last_sequence_has_to_be_as_expected() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.sees(published(stage, "orders.a", LAST, "0").await, "stored as 1");
        stage.sees(published(stage, "orders.b", LAST, "1").await, "stored as 2");
        let wrong = published(stage, "orders.b", LAST, "1").await;
        stage.sees(wrong, "400 10071 wrong last sequence: 2");
        let wrong = published(stage, "orders.b", LAST, "3").await;
        stage.sees(wrong, "400 10071 wrong last sequence: 2");
        stage.sees(state(&stream).await, "2 in 1..2");
    });
}

#[test]
fn the_last_sequence_of_the_subject_has_to_be_as_expected() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let published =
            async |subject, expected| published(stage, subject, LAST_OF_SUBJECT, expected).await;
        stage.sees(published("orders.a", "0").await, "stored as 1");
        stage.sees(published("orders.b", "0").await, "stored as 2");
        stage.sees(published("orders.a", "1").await, "stored as 3");
        let wrong = published("orders.a", "1").await;
        stage.sees(wrong, "400 10071 wrong last sequence: 3");
        let wrong = published("orders.b", "0").await;
        stage.sees(wrong, "400 10071 wrong last sequence: 2");
        let wrong = published("orders.c", "2").await;
        stage.sees(wrong, "400 10071 wrong last sequence: 0");
    });
}

#[test]
fn a_pattern_can_stand_for_the_subject_that_is_expected() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.1.new", &["a"]).await;
        let headers = |expected| {
            [
                (LAST_OF_SUBJECT, expected),
                ("Nats-Expected-Last-Subject-Sequence-Subject", "orders.1.>"),
            ]
        };
        let wrong = stage.publish_raw("orders.1.paid", &headers("0"), "x").await;
        stage.sees(error_of(&wrong), "400 10071 wrong last sequence: 1");
        let right = stage.publish_raw("orders.1.paid", &headers("1"), "x").await;
        stage.sees(error_of(&right), "ok");
    });
}

#[test]
fn the_last_id_has_to_be_as_expected() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        stage
            .publish_raw("orders.a", &[("Nats-Msg-Id", "one")], "x")
            .await;
        let wrong = published(stage, "orders.a", LAST_ID, "other").await;
        stage.sees(wrong, "400 10070 wrong last msg ID: one");
        stage.sees(
            published(stage, "orders.a", LAST_ID, "one").await,
            "stored as 2",
        );
    });
}

#[test]
fn the_stream_has_to_be_as_expected() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let wrong = published(stage, "orders.a", "Nats-Expected-Stream", "MAIL").await;
        stage.sees(wrong, "400 10060 expected stream does not match");
    });
}

#[test]
fn a_number_that_is_none_is_refused_or_ignored_alike() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a"]).await;
        for value in ["x", "-1", ""] {
            stage.compares(published(stage, "orders.a", LAST, value).await);
            stage.compares(published(stage, "orders.a", LAST_OF_SUBJECT, value).await);
        }
    });
}

#[test]
fn a_client_is_told_that_its_expectation_was_wrong() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let expecting = [
            PublishMessage::build().expected_last_sequence(7),
            PublishMessage::build().expected_last_subject_sequence(7),
            PublishMessage::build().expected_last_message_id("none"),
        ];
        for publish in expecting {
            let sent = stage.js.send_publish("orders.a", publish).await.unwrap();
            let kind = sent.await.map_err(|error| error.kind()).err().unwrap();
            let wrong = [
                PublishErrorKind::WrongLastSequence,
                PublishErrorKind::WrongLastMessageId,
            ];
            stage.sees(wrong.contains(&kind), &true);
            stage.compares(kind);
        }
    });
}

#[test]
fn an_expectation_is_judged_by_what_is_left_after_deletes() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a", "b"]).await;
        stream.delete_message(2).await.unwrap();
        stage.compares(published(stage, "orders.a", LAST_OF_SUBJECT, "2").await);
        stage.compares(published(stage, "orders.a", LAST_OF_SUBJECT, "1").await);
        stage.compares(published(stage, "orders.a", LAST, "2").await);
    });
}

#[test]
fn expectations_are_judged_before_duplicates_are_known() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let headers = [("Nats-Msg-Id", "one"), (LAST, "0")];
        stage.publish_raw("orders.a", &headers, "x").await;
        let again = stage.publish_raw("orders.a", &headers, "x").await;
        stage.sees(error_of(&again), "400 10071 wrong last sequence: 1");
    });
}
