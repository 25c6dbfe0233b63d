//! What the server tells about streams and consumers by itself.
//! <https://docs.nats.io/running-a-nats-service/nats_admin/monitoring/monitoring_jetstream> ("Advisories")

use async_nats::Subscriber;
use serde_json::Value;

use crate::stage::{check, durable, next, soon, stream_config, take_one, within};

/// The next advisory: its subject, and the fields that are no times or names of clients.
async fn advisory(advisories: &mut Subscriber) -> String {
    let message = next(advisories).await;
    let advisory: Value = serde_json::from_slice(&message.payload).unwrap();
    let kept = [
        "type",
        "stream",
        "consumer",
        "action",
        "stream_seq",
        "consumer_seq",
        "deliveries",
        "reason",
    ];
    let fields = kept
        .iter()
        .filter_map(|name| Some(format!("{name}={}", advisory.get(*name)?)));
    format!(
        "{} {}",
        message.subject,
        fields.collect::<Vec<_>>().join(" ")
    )
}

#[test]
fn streams_and_consumers_that_come_and_go_are_told_of() {
    check(async |stage| {
        let mut of_streams = stage
            .client
            .subscribe("$JS.EVENT.ADVISORY.STREAM.>")
            .await
            .unwrap();
        let mut of_consumers = stage
            .client
            .subscribe("$JS.EVENT.ADVISORY.CONSUMER.>")
            .await
            .unwrap();
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.compares(advisory(&mut of_streams).await);
        stage
            .js
            .update_stream(stream_config("ORDERS", &["orders.*"]))
            .await
            .unwrap();
        stage.compares(advisory(&mut of_streams).await);
        stream.create_consumer(durable("worker")).await.unwrap();
        stage.compares(advisory(&mut of_consumers).await);
        stream.delete_consumer("worker").await.unwrap();
        stage.compares(advisory(&mut of_consumers).await);
        stage.js.delete_stream("ORDERS").await.unwrap();
        stage.compares(advisory(&mut of_streams).await);
        stage.sees(soon(&mut of_streams).await.is_none(), &true);
    });
}

#[test]
fn messages_that_are_given_up_are_told_of() {
    check(async |stage| {
        let mut advisories = stage
            .client
            .subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.ORDERS.>")
            .await
            .unwrap();
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let config = async_nats::jetstream::consumer::pull::Config {
            max_deliver: 1,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let first = take_one(&consumer).await;
        let term = async_nats::jetstream::AckKind::Term;
        first.double_ack_with(term).await.unwrap();
        stage.compares(advisory(&mut advisories).await);
        take_one(&consumer).await;
        within(&consumer, 1, crate::stage::ACK_WAIT * 2).await;
        stage.compares(advisory(&mut advisories).await);
    });
}
