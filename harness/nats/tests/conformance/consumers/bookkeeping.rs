//! What a consumer tells about itself.

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{PullConsumer, pull};

use crate::stage::{A_WHILE, ACK_WAIT, caught_up, check, durable, take, take_one, within};

/// Everything that is counted, once the server had a moment to count it.
async fn books(consumer: &PullConsumer) -> String {
    tokio::time::sleep(A_WHILE / 3).await;
    let info = consumer.get_info().await.unwrap();
    format!(
        "delivered {}/{} floor {}/{} out {} again {} pending {}",
        info.delivered.consumer_sequence,
        info.delivered.stream_sequence,
        info.ack_floor.consumer_sequence,
        info.ack_floor.stream_sequence,
        info.num_ack_pending,
        info.num_redelivered,
        info.num_pending,
    )
}

#[test]
fn books_follow_deliveries_and_acks() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stage.sees(
            books(&consumer).await,
            "delivered 0/0 floor 0/0 out 0 again 0 pending 0",
        );
        stage.store("orders.new", &["a", "b", "c", "d"]).await;
        stage.sees(
            books(&consumer).await,
            "delivered 0/0 floor 0/0 out 0 again 0 pending 4",
        );
        let messages = take(&consumer, 3).await;
        stage.sees(
            books(&consumer).await,
            "delivered 3/3 floor 0/0 out 3 again 0 pending 1",
        );
        messages[1].double_ack().await.unwrap();
        stage.sees(
            books(&consumer).await,
            "delivered 3/3 floor 0/0 out 2 again 0 pending 1",
        );
        messages[0].double_ack().await.unwrap();
        stage.sees(
            books(&consumer).await,
            "delivered 3/3 floor 2/2 out 1 again 0 pending 1",
        );
        messages[2].double_ack().await.unwrap();
        stage.sees(
            books(&consumer).await,
            "delivered 3/3 floor 3/3 out 0 again 0 pending 1",
        );
    });
}

#[test]
fn books_follow_redeliveries() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        take(&consumer, 2).await;
        let again = take(&consumer, 2).await;
        stage.compares(books(&consumer).await);
        again[0].double_ack().await.unwrap();
        stage.compares(books(&consumer).await);
        again[1].double_ack().await.unwrap();
        stage.compares(books(&consumer).await);
    });
}

#[test]
fn books_of_a_filtered_consumer_pass_over_other_messages() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        for subject in ["orders.a", "orders.b", "orders.a", "orders.b", "orders.b"] {
            stage.store(subject, &["x"]).await;
        }
        let config = pull::Config {
            filter_subject: "orders.a".to_owned(),
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        stage.compares(books(&consumer).await);
        for message in take(&consumer, 2).await {
            message.double_ack().await.unwrap();
        }
        stage.compares(books(&consumer).await);
        stage.store("orders.a", &["y"]).await;
        stage.compares(books(&consumer).await);
        take_one(&consumer).await.double_ack().await.unwrap();
        stage.compares(books(&consumer).await);
    });
}

#[test]
fn books_of_terminated_and_given_back_messages() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let messages = take(&consumer, 3).await;
        messages[0].double_ack_with(AckKind::Term).await.unwrap();
        stage.compares(books(&consumer).await);
        messages[2]
            .double_ack_with(AckKind::Nak(None))
            .await
            .unwrap();
        stage.compares(books(&consumer).await);
        messages[1].double_ack().await.unwrap();
        stage.compares(books(&consumer).await);
        take_one(&consumer).await.double_ack().await.unwrap();
        stage.compares(books(&consumer).await);
    });
}

#[test]
fn books_of_gaps_between_acks() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage
            .store("orders.new", &["a", "b", "c", "d", "e", "f"])
            .await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let messages = take(&consumer, 6).await;
        for index in [4, 1, 0, 3, 5, 2] {
            messages[index].double_ack().await.unwrap();
            stage.compares(books(&consumer).await);
        }
    });
}

#[test]
fn books_of_a_consumer_that_begins_in_the_middle() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c", "d"]).await;
        let config = pull::Config {
            deliver_policy: async_nats::jetstream::consumer::DeliverPolicy::ByStartSequence {
                start_sequence: 3,
            },
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        stage.compares(books(&consumer).await);
        take_one(&consumer).await.double_ack().await.unwrap();
        stage.compares(books(&consumer).await);
    });
}

#[test]
fn books_after_the_stream_forgets() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c", "d"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let messages = take(&consumer, 2).await;
        stream.delete_message(3).await.unwrap();
        stage.compares(books(&consumer).await);
        stream.delete_message(1).await.unwrap();
        messages[1].double_ack().await.unwrap();
        within(&consumer, 1, ACK_WAIT * 2).await;
        caught_up(&stage.client).await;
        stage.compares(books(&consumer).await);
    });
}

#[test]
fn a_delivery_tells_how_much_is_left() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let left = take(&consumer, 3).await;
        let left: Vec<_> = left
            .iter()
            .map(|message| message.info().unwrap().pending)
            .collect();
        stage.sees(left, &[2, 1, 0]);
        let again = take(&consumer, 3).await;
        let again: Vec<_> = again
            .iter()
            .map(|message| message.info().unwrap().pending)
            .collect();
        stage.compares(format!("{again:?}"));
    });
}
