//! What becomes of consumers when connections and clients go.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt;
use tokio::time::timeout;

use crate::relay::Relay;
use crate::stage::{ACK_WAIT, Stage, check, durable, options, take, take_one};
use crate::transcript::{deliveries, delivery, text};

/// A consumer that is used through `relay`.
async fn through(relay: &Relay, stage: &Stage) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stream.create_consumer(durable("worker")).await.unwrap();
    let client = options().connect(relay.address()).await.unwrap();
    let js = async_nats::jetstream::new(client);
    js.get_consumer_from_stream("worker", "ORDERS")
        .await
        .unwrap()
}

#[test]
fn a_client_that_dies_leaves_its_messages_to_the_next_when_their_lease_is_over() {
    check(async |stage| {
        let relay = Relay::to(stage.address()).await;
        let consumer = through(&relay, stage).await;
        stage.store("orders.new", &["a", "b"]).await;
        take(&consumer, 2).await;
        drop(relay);
        let next: PullConsumer = stage
            .js
            .get_consumer_from_stream("worker", "ORDERS")
            .await
            .unwrap();
        stage.sees(next.get_info().await.unwrap().num_ack_pending, &2);
        let again = take(&next, 2).await;
        stage.sees(deliveries(&again), &["a #1 attempt 2", "b #2 attempt 2"]);
    });
}

#[test]
fn an_ack_reaches_the_server_over_another_connection() {
    check(async |stage| {
        let relay = Relay::to(stage.address()).await;
        let consumer = through(&relay, stage).await;
        stage.store("orders.new", &["a"]).await;
        let message = take_one(&consumer).await;
        relay.cut();
        tokio::time::sleep(ACK_WAIT / 4).await;
        message.double_ack().await.unwrap();
        stage.sees(
            consumer.get_info().await.unwrap().ack_floor.stream_sequence,
            &1,
        );
    });
}

#[test]
fn a_stream_of_messages_goes_on_after_a_lost_connection() {
    check(async |stage| {
        let relay = Relay::to(stage.address()).await;
        let consumer = through(&relay, stage).await;
        let short = consumer
            .stream()
            .expires(Duration::from_millis(1200))
            .heartbeat(Duration::from_millis(300));
        let mut messages = short.messages().await.unwrap();
        stage.store("orders.new", &["a"]).await;
        let first = messages.next().await.unwrap().unwrap();
        first.double_ack().await.unwrap();
        relay.cut();
        tokio::time::sleep(ACK_WAIT / 4).await;
        stage.store("orders.new", &["b"]).await;
        // The pull that waited went with its connection; a missing heartbeat makes the client pull again.
        let second = loop {
            match messages.next().await.unwrap() {
                Ok(message) => break message,
                Err(_) => continue,
            }
        };
        stage.sees(text(&second.payload), "b");
    });
}

#[test]
fn publishing_again_after_a_lost_answer_is_recognised_by_its_id() {
    check(async |stage| {
        let relay = Relay::to(stage.address()).await;
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let client = options().connect(relay.address()).await.unwrap();
        let js = async_nats::jetstream::new(client);
        let publish = || async_nats::jetstream::message::PublishMessage::build().message_id("one");
        let first = js.send_publish("orders.new", publish()).await.unwrap();
        let first = timeout(Duration::from_secs(5), first).await;
        relay.cut();
        stage.sees(first.unwrap().unwrap().duplicate, &false);
        tokio::time::sleep(ACK_WAIT / 2).await;
        let second = js.send_publish("orders.new", publish()).await.unwrap();
        stage.sees(second.await.unwrap().duplicate, &true);
        stage.sees(stream.get_info().await.unwrap().state.messages, &1);
    });
}

#[test]
fn a_consumer_that_is_made_again_begins_from_the_start() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let old = take(&consumer, 2).await;
        stream.delete_consumer("worker").await.unwrap();
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 1");
        // An ack from before names a delivery that the new consumer has not made, or has made anew.
        old[1].ack().await.unwrap();
        crate::stage::caught_up(&stage.client).await;
        let info = consumer.get_info().await.unwrap();
        stage.compares(format!(
            "{} out, {} pending",
            info.num_ack_pending, info.num_pending
        ));
    });
}
