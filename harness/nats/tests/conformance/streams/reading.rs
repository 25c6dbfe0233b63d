//! Reading single messages from a stream's leader. <https://docs.nats.io/nats-concepts/jetstream/streams>

use async_nats::jetstream::stream::Stream;
use serde_json::json;

use crate::stage::{Stage, check};
use crate::transcript::{outcome, text};

async fn mixed(stage: &Stage) -> Stream {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    for (subject, payload) in [("a", "a1"), ("b", "b2"), ("a", "a3")] {
        stage.store(&format!("orders.{subject}"), &[payload]).await;
    }
    stream
}

#[test]
fn a_message_is_read_by_its_sequence() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let message = stream.get_raw_message(2).await.unwrap();
        stage.sees(message.subject.as_str(), "orders.b");
        stage.sees(message.sequence, &2);
        stage.sees(text(&message.payload), "b2");
        stage.sees(message.headers.is_empty(), &true);
    });
}

#[test]
fn the_last_message_of_a_subject_is_read() {
    check(async |stage| {
        let stream = mixed(stage).await;
        for (subject, sequence) in [("orders.a", 3), ("orders.b", 2), ("orders.*", 3), (">", 3)] {
            let last = stream
                .get_last_raw_message_by_subject(subject)
                .await
                .unwrap();
            stage.sees(last.sequence, &sequence);
        }
    });
}

#[test]
fn the_next_message_of_a_subject_is_read() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let next = stream
            .get_first_raw_message_by_subject("orders.a", 2)
            .await
            .unwrap();
        stage.sees(next.sequence, &3);
        let next = stream
            .get_first_raw_message_by_subject("orders.b", 1)
            .await
            .unwrap();
        stage.sees(next.sequence, &2);
        let first = stream
            .get_next_raw_message_by_subject("orders.a")
            .await
            .unwrap();
        stage.sees(first.sequence, &1);
        let none = stream.get_first_raw_message_by_subject("orders.b", 3).await;
        stage.sees(outcome(none.map(drop)), "error: no message found");
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    check(async |stage| {
        let stream = mixed(stage).await;
        stage.sees(
            outcome(stream.get_raw_message(9).await.map(drop)),
            "error: no message found",
        );
        stream.delete_message(2).await.unwrap();
        stage.sees(
            outcome(stream.get_raw_message(2).await.map(drop)),
            "error: no message found",
        );
        let last = stream.get_last_raw_message_by_subject("orders.b").await;
        stage.sees(outcome(last.map(drop)), "error: no message found");
        let code = stage
            .api_error("STREAM.MSG.GET.ORDERS", json!({ "seq": 9 }))
            .await;
        stage.sees(code, "404 10037 no message found");
    });
}

#[test]
fn a_question_that_says_too_little_or_too_much_is_refused() {
    check(async |stage| {
        mixed(stage).await;
        for question in [
            json!({}),
            json!({ "seq": 1, "last_by_subj": "orders.a" }),
            json!({ "last_by_subj": "orders.a", "next_by_subj": "orders.a" }),
        ] {
            stage.compares(stage.api_error("STREAM.MSG.GET.ORDERS", question).await);
        }
    });
}
