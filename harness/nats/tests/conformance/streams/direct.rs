//! Reading single messages from whoever has them (`allow_direct`), ADR-31.

use async_nats::jetstream::stream::{Config, Stream};
use serde_json::json;

use crate::stage::{Stage, check, stream_config};
use crate::transcript::{outcome, said, text};

async fn direct(stage: &Stage) -> Stream {
    let config = Config {
        allow_direct: true,
        ..stream_config("ORDERS", &["orders.>"])
    };
    let stream = stage.stream_with(config).await;
    stage.store("orders.a", &["a1"]).await;
    stage
        .publish_raw("orders.b", &[("Colour", "red")], "b2")
        .await;
    stage.store("orders.a", &["a3"]).await;
    stream
}

#[test]
fn a_message_comes_as_it_was_published() {
    check(async |stage| {
        let stream = direct(stage).await;
        let message = stream.direct_get(2).await.unwrap();
        stage.sees(text(&message.payload), "b2");
        stage.sees(message.subject.as_str(), "orders.b");
        stage.sees(message.sequence, &2);
        stage.sees(
            message.headers.get("Colour").map(ToString::to_string),
            &Some("red"),
        );
    });
}

#[test]
fn last_first_and_next_are_found_directly() {
    check(async |stage| {
        let stream = direct(stage).await;
        let last = stream
            .direct_get_last_for_subject("orders.a")
            .await
            .unwrap();
        stage.sees(last.sequence, &3);
        let first = stream
            .direct_get_first_for_subject("orders.a")
            .await
            .unwrap();
        stage.sees(first.sequence, &1);
        let next = stream
            .direct_get_next_for_subject("orders.a", Some(2))
            .await
            .unwrap();
        stage.sees(next.sequence, &3);
        let next = stream
            .direct_get_next_for_subject("orders.*", Some(2))
            .await
            .unwrap();
        stage.sees(next.sequence, &2);
    });
}

#[test]
fn what_is_not_there_is_a_status() {
    check(async |stage| {
        let stream = direct(stage).await;
        stage.sees(
            outcome(stream.direct_get(9).await.map(drop)),
            "error: message not found",
        );
        let last = stream.direct_get_last_for_subject("orders.c").await;
        stage.sees(outcome(last.map(drop)), "error: message not found");
    });
}

/// The answer to a direct question in the API's own words, with the headers' names.
async fn asked(stage: &Stage, subject: &str, question: serde_json::Value) -> String {
    let question = if question.is_null() {
        String::new()
    } else {
        question.to_string()
    };
    let subject = format!("$JS.API.DIRECT.GET.{subject}");
    match stage.client.request(subject, question.into()).await {
        Err(error) => format!("error: {}", error.kind()),
        Ok(answer) => {
            let headers = answer.headers.iter().flat_map(|headers| headers.iter());
            let mut names: Vec<_> = headers.map(|(name, _)| name.to_string()).collect();
            names.sort();
            format!("{} {}", said(&answer), names.join(" "))
        }
    }
}

#[test]
fn answers_say_where_a_message_stands() {
    check(async |stage| {
        direct(stage).await;
        let headers = "Nats-Sequence Nats-Stream Nats-Subject Nats-Time-Stamp";
        stage.sees(
            asked(stage, "ORDERS", json!({ "seq": 1 })).await,
            &format!("a1 {headers}"),
        );
        let last = asked(stage, "ORDERS.orders.a", json!(null)).await;
        stage.sees(last, &format!("a3 {headers}"));
        stage.compares(asked(stage, "ORDERS", json!({ "seq": 9 })).await);
        stage.compares(asked(stage, "ORDERS", json!({})).await);
        stage.compares(asked(stage, "ORDERS.orders.none", json!(null)).await);
        stage.compares(asked(stage, "NONE", json!({ "seq": 1 })).await);
    });
}

#[test]
fn a_stream_that_does_not_allow_it_does_not_answer() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["a1"]).await;
        stage.sees(
            asked(stage, "ORDERS", json!({ "seq": 1 })).await,
            "error: no responders",
        );
    });
}
