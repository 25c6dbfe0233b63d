//! What a waiting puller is told when its consumer can serve no more. ADR-37
//! (409 for a consumer or stream that goes, an ended request)

use async_nats::jetstream::consumer::pull::MessagesErrorKind;
use futures::StreamExt;
use serde_json::json;

use crate::stage::{check, durable, next, soon};
use crate::transcript::said;

const LONG: u64 = 10_000_000_000;

#[test]
fn a_puller_is_told_that_its_consumer_is_deleted() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stream.create_consumer(durable("worker")).await.unwrap();
        let mut answers = stage
            .pull("ORDERS", "worker", json!({ "batch": 3, "expires": LONG }))
            .await;
        stream.delete_consumer("worker").await.unwrap();
        let status = next(&mut answers).await;
        stage.sees(said(&status), "409 Consumer Deleted");
        stage.compares(format!("{:?}", status.headers));
        stage.sees(soon(&mut answers).await.is_none(), &true);
    });
}

#[test]
fn a_puller_is_told_that_its_stream_is_deleted() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stream.create_consumer(durable("worker")).await.unwrap();
        let mut answers = stage
            .pull("ORDERS", "worker", json!({ "batch": 3, "expires": LONG }))
            .await;
        stage.js.delete_stream("ORDERS").await.unwrap();
        let status = soon(&mut answers).await.map(|status| said(&status));
        stage.compares(format!("{status:?}"));
    });
}

#[test]
fn every_waiting_puller_is_told() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stream.create_consumer(durable("worker")).await.unwrap();
        let mut pulls = Vec::new();
        for _ in 0..3 {
            pulls.push(
                stage
                    .pull("ORDERS", "worker", json!({ "batch": 1, "expires": LONG }))
                    .await,
            );
        }
        stream.delete_consumer("worker").await.unwrap();
        for answers in &mut pulls {
            stage.sees(said(&next(answers).await), "409 Consumer Deleted");
        }
    });
}

#[test]
fn a_stream_of_messages_ends_with_its_consumer() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let deleting = async {
            tokio::time::sleep(crate::stage::A_WHILE).await;
            stream.delete_consumer("worker").await.unwrap();
        };
        let (end, ()) = tokio::join!(messages.next(), deleting);
        let kind = end.map(|end| end.map(drop).map_err(|error| error.kind()));
        stage.sees(
            kind,
            &Some(Err::<(), _>(MessagesErrorKind::ConsumerDeleted)),
        );
    });
}

#[test]
fn an_ack_to_a_consumer_that_is_gone_is_not_confirmed() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let message = crate::stage::take_one(&consumer).await;
        stream.delete_consumer("worker").await.unwrap();
        let mut answers = stage.client.subscribe("answers").await.unwrap();
        let reply = message.reply.clone().unwrap();
        let sent = stage
            .client
            .publish_with_reply(reply, "answers", "+ACK".into());
        sent.await.unwrap();
        let answer = soon(&mut answers).await;
        stage.compares(format!("{:?}", answer.map(|answer| said(&answer))));
    });
}
