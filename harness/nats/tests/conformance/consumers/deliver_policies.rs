//! Where a consumer begins.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers#deliverpolicy>

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;

use crate::stage::{Stage, check, durable, take, within};
use crate::transcript::payloads;

/// A stream with a1 b2 a3 c4 b5.
async fn mixed(stage: &Stage) -> Stream {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    for (subject, payload) in [
        ("a", "a1"),
        ("b", "b2"),
        ("a", "a3"),
        ("c", "c4"),
        ("b", "b5"),
    ] {
        stage.store(&format!("orders.{subject}"), &[payload]).await;
    }
    stream
}

fn beginning(policy: DeliverPolicy) -> pull::Config {
    pull::Config {
        deliver_policy: policy,
        ..durable("worker")
    }
}

/// What a consumer with `config` gets, before and after one more message.
async fn delivered(stage: &Stage, stream: &Stream, config: pull::Config) -> Vec<String> {
    let consumer = stream.create_consumer(config).await.unwrap();
    stage.compares(format!("{} pending", consumer.cached_info().num_pending));
    stage.store("orders.d", &["d6"]).await;
    let messages = within(&consumer, 10, Duration::from_millis(300)).await;
    payloads(&messages)
}

#[test]
fn all_begins_at_the_first_message() {
    check(async |stage| {
        let stream = mixed(stage).await;
        stream.delete_message(1).await.unwrap();
        let delivered = delivered(stage, &stream, beginning(DeliverPolicy::All)).await;
        stage.sees(delivered, &["b2", "a3", "c4", "b5", "d6"]);
    });
}

#[test]
fn last_begins_at_the_last_message() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let delivered = delivered(stage, &stream, beginning(DeliverPolicy::Last)).await;
        stage.sees(delivered, &["b5", "d6"]);
    });
}

#[test]
fn last_of_a_filter_begins_at_its_last_message() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let config = pull::Config {
            filter_subject: "orders.a".to_owned(),
            ..beginning(DeliverPolicy::Last)
        };
        let delivered = delivered(stage, &stream, config).await;
        stage.sees(delivered, &["a3"]);
    });
}

#[test]
fn new_begins_after_what_is_there() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let delivered = delivered(stage, &stream, beginning(DeliverPolicy::New)).await;
        stage.sees(delivered, &["d6"]);
    });
}

#[test]
fn a_sequence_to_begin_at_is_delivered_itself() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let policy = DeliverPolicy::ByStartSequence { start_sequence: 4 };
        stage.sees(
            delivered(stage, &stream, beginning(policy)).await,
            &["c4", "b5", "d6"],
        );
    });
}

#[test]
fn a_sequence_that_is_not_there_yet_is_waited_for() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let policy = DeliverPolicy::ByStartSequence { start_sequence: 7 };
        let consumer = stream.create_consumer(beginning(policy)).await.unwrap();
        stage.store("orders.d", &["d6", "d7"]).await;
        stage.compares(format!("{:?}", payloads(&take(&consumer, 1).await)));
    });
}

#[test]
fn a_time_to_begin_at_is_that_of_the_first_message_since() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let start_time = stream.get_raw_message(3).await.unwrap().time;
        let policy = DeliverPolicy::ByStartTime { start_time };
        stage.sees(
            delivered(stage, &stream, beginning(policy)).await,
            &["a3", "c4", "b5", "d6"],
        );
    });
}

#[test]
fn last_per_subject_begins_with_the_newest_of_each() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let config = pull::Config {
            filter_subject: "orders.>".to_owned(),
            ..beginning(DeliverPolicy::LastPerSubject)
        };
        stage.sees(
            delivered(stage, &stream, config).await,
            &["a3", "c4", "b5", "d6"],
        );
    });
}

#[test]
fn last_per_subject_of_several_filters() {
    check(async |stage| {
        let stream = mixed(stage).await;
        let config = pull::Config {
            filter_subjects: vec!["orders.a".to_owned(), "orders.b".to_owned()],
            ..beginning(DeliverPolicy::LastPerSubject)
        };
        stage.sees(delivered(stage, &stream, config).await, &["a3", "b5"]);
    });
}

#[test]
fn a_consumer_waits_on_an_empty_stream() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        for (number, policy) in [DeliverPolicy::All, DeliverPolicy::Last, DeliverPolicy::New]
            .into_iter()
            .enumerate()
        {
            let config = pull::Config {
                durable_name: Some(format!("worker{number}")),
                ..beginning(policy)
            };
            let consumer = stream.create_consumer(config).await.unwrap();
            stage.store("orders.a", &["a", "b"]).await;
            stage.sees(payloads(&take(&consumer, 2).await), &["a", "b"]);
            stream.purge().await.unwrap();
        }
    });
}
