//! How long messages stay: up to a limit, while somebody is interested, or until they are worked on.
//! <https://docs.nats.io/nats-concepts/jetstream/streams#retentionpolicy>

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use serde_json::json;

use super::{contents, state};
use crate::stage::{Stage, check, durable, stream_config, take, take_one};

async fn retaining(stage: &Stage, retention: RetentionPolicy) -> Stream {
    let config = Config {
        retention,
        ..stream_config("ORDERS", &["orders.>"])
    };
    stage.stream_with(config).await
}

/// The state of `stream` as soon as it holds `messages`, or as it is after a while.
async fn settled(stream: &Stream, messages: u64) -> String {
    for _ in 0..40 {
        if stream.get_info().await.unwrap().state.messages == messages {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    state(stream).await
}

fn filtered(name: &str, filter: &str) -> pull::Config {
    pull::Config {
        filter_subject: filter.to_owned(),
        ..durable(name)
    }
}

#[test]
fn acks_do_not_remove_what_limits_retain() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::Limits).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stage.store("orders.new", &["a"]).await;
        take_one(&consumer).await.double_ack().await.unwrap();
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn work_that_is_done_leaves_the_queue() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::WorkQueue).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stage.store("orders.new", &["a", "b", "c"]).await;
        let messages = take(&consumer, 3).await;
        stage.sees(settled(&stream, 3).await, "3 in 1..3");
        messages[1].double_ack().await.unwrap();
        stage.sees(settled(&stream, 2).await, "2 in 1..3");
        messages[0].double_ack().await.unwrap();
        stage.sees(contents(&stream).await, &["3 c"]);
        messages[2].double_ack().await.unwrap();
        stage.sees(settled(&stream, 0).await, "0 in 4..3");
    });
}

#[test]
fn work_waits_for_its_worker() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::WorkQueue).await;
        stage.store("orders.new", &["a", "b"]).await;
        stage.sees(state(&stream).await, "2 in 1..2");
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stage.sees(take(&consumer, 2).await.len(), &2);
    });
}

#[test]
fn a_work_queue_has_one_consumer_for_each_subject() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::WorkQueue).await;
        stream
            .create_consumer(filtered("a", "orders.a"))
            .await
            .unwrap();
        stream
            .create_consumer(filtered("b", "orders.b"))
            .await
            .unwrap();
        let explicit = |filter: &str| json!({ "durable_name": "c", "ack_policy": "explicit", "filter_subject": filter });
        let refused = stage
            .consumer_error("ORDERS", "c", explicit("orders.a"))
            .await;
        stage.sees(
            refused,
            "400 10100 filtered consumer not unique on workqueue stream",
        );
        let refused = stage
            .consumer_error("ORDERS", "c", explicit("orders.*"))
            .await;
        stage.sees(
            refused,
            "400 10100 filtered consumer not unique on workqueue stream",
        );
        let unfiltered = json!({ "durable_name": "c", "ack_policy": "explicit" });
        let refused = stage.consumer_error("ORDERS", "c", unfiltered).await;
        stage.sees(
            refused,
            "400 10099 multiple non-filtered consumers not allowed on workqueue stream",
        );
        let granted = stage
            .consumer_error("ORDERS", "c", explicit("orders.c"))
            .await;
        stage.sees(granted, "ok");
    });
}

#[test]
fn a_work_queue_asks_for_acks_and_for_all_messages() {
    check(async |stage| {
        retaining(stage, RetentionPolicy::WorkQueue).await;
        let none = json!({ "durable_name": "c", "ack_policy": "none" });
        let refused = stage.consumer_error("ORDERS", "c", none).await;
        stage.sees(
            refused,
            "400 10084 consumer in pull mode requires explicit ack policy on workqueue stream",
        );
        let new = json!({ "durable_name": "c", "ack_policy": "explicit", "deliver_policy": "new" });
        stage.sees(
            stage.consumer_error("ORDERS", "c", new).await,
            "400 10101 consumer must be deliver all on workqueue stream",
        );
    });
}

#[test]
fn without_interest_nothing_is_kept() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::Interest).await;
        stage.store("orders.new", &["a"]).await;
        stage.sees(settled(&stream, 0).await, "0 in 2..1");
        stream
            .create_consumer(filtered("worker", "orders.b"))
            .await
            .unwrap();
        stage.store("orders.a", &["b"]).await;
        stage.store("orders.b", &["c"]).await;
        settled(&stream, 1).await;
        stage.sees(contents(&stream).await, &["3 c"]);
    });
}

#[test]
fn what_interests_several_stays_until_all_have_acknowledged() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::Interest).await;
        let first = stream.create_consumer(durable("first")).await.unwrap();
        let second = stream.create_consumer(durable("second")).await.unwrap();
        stage.store("orders.new", &["a"]).await;
        take_one(&first).await.double_ack().await.unwrap();
        stage.sees(settled(&stream, 1).await, "1 in 1..1");
        take_one(&second).await.double_ack().await.unwrap();
        stage.sees(settled(&stream, 0).await, "0 in 2..1");
    });
}

#[test]
fn interest_ends_with_its_consumer() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::Interest).await;
        let first = stream.create_consumer(durable("first")).await.unwrap();
        stream.create_consumer(durable("second")).await.unwrap();
        stage.store("orders.new", &["a", "b"]).await;
        for message in take(&first, 2).await {
            message.double_ack().await.unwrap();
        }
        stage.sees(settled(&stream, 2).await, "2 in 1..2");
        stream.delete_consumer("second").await.unwrap();
        stage.sees(settled(&stream, 0).await, "0 in 3..2");
    });
}

#[test]
fn terminated_work_leaves_the_queue() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::WorkQueue).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        stage.store("orders.new", &["a"]).await;
        let message = take_one(&consumer).await;
        let term = async_nats::jetstream::AckKind::Term;
        message.double_ack_with(term).await.unwrap();
        stage.sees(settled(&stream, 0).await, "0 in 2..1");
    });
}

#[test]
fn work_whose_attempts_are_used_up_stays() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::WorkQueue).await;
        let config = pull::Config {
            max_deliver: 1,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        stage.store("orders.new", &["a"]).await;
        take_one(&consumer).await;
        tokio::time::sleep(crate::stage::ACK_WAIT * 2).await;
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn acknowledging_all_ends_interest_up_to_there() {
    check(async |stage| {
        let stream = retaining(stage, RetentionPolicy::Interest).await;
        let config = pull::Config {
            ack_policy: AckPolicy::All,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        stage.store("orders.new", &["a", "b", "c"]).await;
        let messages = take(&consumer, 3).await;
        messages[1].double_ack().await.unwrap();
        stage.sees(settled(&stream, 1).await, "1 in 3..3");
    });
}

#[test]
fn limits_hold_for_work_too() {
    check(async |stage| {
        let config = Config {
            retention: RetentionPolicy::WorkQueue,
            max_messages: 2,
            ..stream_config("ORDERS", &["orders.>"])
        };
        let stream = stage.stream_with(config).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        stage.sees(contents(&stream).await, &["2 b", "3 c"]);
    });
}
