//! Which of a stream's messages a consumer is for.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers#filtersubjects>

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::Stream;

use crate::stage::{Stage, check, durable, take, within};
use crate::transcript::{payloads, text};

async fn mixed(stage: &Stage) -> Stream {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    for subject in ["a.1", "b.1", "a.2", "c.1", "b.2"] {
        stage.store(&format!("orders.{subject}"), &[subject]).await;
    }
    stream
}

fn filtered(filters: &[&str]) -> pull::Config {
    pull::Config {
        filter_subjects: filters.iter().map(ToString::to_string).collect(),
        ..durable("worker")
    }
}

#[test]
fn a_filter_passes_what_it_matches() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let config = pull::Config {
            filter_subject: "orders.a.*".to_owned(),
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        stage.sees(consumer.cached_info().num_pending, &2);
        let messages = take(&consumer, 2).await;
        stage.sees(payloads(&messages), &["a.1", "a.2"]);
        let sequences = messages.iter().map(|message| {
            let info = message.info().unwrap();
            (info.stream_sequence, info.consumer_sequence, info.pending)
        });
        stage.sees(sequences.collect::<Vec<_>>(), &[(1, 1, 1), (3, 2, 0)]);
    });
}

#[test]
fn several_filters_pass_messages_in_the_order_of_the_stream() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let consumer = stream
            .create_consumer(filtered(&["orders.b.*", "orders.a.2"]))
            .await
            .unwrap();
        stage.sees(consumer.cached_info().num_pending, &3);
        stage.sees(payloads(&take(&consumer, 3).await), &["b.1", "a.2", "b.2"]);
        stage.store("orders.c.2", &["c.2"]).await;
        stage.store("orders.b.3", &["b.3"]).await;
        stage.sees(payloads(&take(&consumer, 1).await), &["b.3"]);
    });
}

#[test]
fn what_does_not_pass_is_not_pending() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let consumer = stream
            .create_consumer(filtered(&["orders.x"]))
            .await
            .unwrap();
        stage.sees(consumer.cached_info().num_pending, &0);
        let messages = within(&consumer, 1, Duration::from_millis(150)).await;
        stage.sees(messages.len(), &0);
    });
}

#[test]
fn a_filter_can_be_changed() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let consumer = stream
            .create_consumer(filtered(&["orders.a.*"]))
            .await
            .unwrap();
        let first = take(&consumer, 1).await;
        first[0].double_ack().await.unwrap();
        let consumer = stream
            .update_consumer(filtered(&["orders.b.*"]))
            .await
            .unwrap();
        stage.compares(format!(
            "{} pending",
            consumer.get_info().await.unwrap().num_pending
        ));
        stage.sees(payloads(&take(&consumer, 2).await), &["b.1", "b.2"]);
    });
}

#[test]
fn headers_alone_tell_how_large_the_payload_is() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.a", &["hello"]).await;
        stage
            .publish_raw("orders.a", &[("Colour", "red")], "hi")
            .await;
        let config = pull::Config {
            headers_only: true,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        for message in take(&consumer, 2).await {
            stage.sees(text(&message.payload), "");
            let headers = message.headers.as_ref().unwrap();
            stage.compares(format!("{:?}", headers.get("Nats-Msg-Size")));
            stage.compares(format!("{:?}", headers.get("Colour")));
        }
    });
}
