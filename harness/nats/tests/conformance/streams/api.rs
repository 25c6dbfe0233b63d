//! The answers of the JetStream API as they are, field by field.
//! <https://docs.nats.io/reference/reference-protocols/nats_api_reference>

use serde_json::{Value, json};

use crate::stage::{Stage, check};
use crate::transcript::plain;

/// Compares the whole answers to `questions`, without times.
async fn compare(stage: &Stage, questions: &[(&str, Value)]) {
    for (subject, question) in questions {
        let answer = stage.api(subject, question.clone()).await;
        stage.compares(format!("{subject}: {}", plain(answer)));
    }
}

fn orders() -> Value {
    json!({
        "name": "ORDERS", "subjects": ["orders.>"], "retention": "limits", "storage": "file", "num_replicas": 1,
        "max_msgs": -1, "max_bytes": -1, "max_age": 0, "discard": "old",
    })
}

#[test]
fn answers_about_streams() {
    check(async |stage| {
        compare(
            stage,
            &[
                ("STREAM.CREATE.ORDERS", orders()),
                ("STREAM.CREATE.ORDERS", orders()),
            ],
        )
        .await;
        stage.store("orders.a", &["a", "b"]).await;
        compare(
            stage,
            &[
                ("STREAM.INFO.ORDERS", json!(null)),
                (
                    "STREAM.INFO.ORDERS",
                    json!({ "deleted_details": true, "subjects_filter": ">" }),
                ),
                ("STREAM.NAMES", json!(null)),
                ("STREAM.NAMES", json!({ "subject": "orders.a" })),
                ("STREAM.NAMES", json!({ "subject": "none" })),
                ("STREAM.NAMES", json!({ "offset": 5 })),
                ("STREAM.LIST", json!(null)),
                ("STREAM.UPDATE.ORDERS", orders()),
                ("STREAM.MSG.GET.ORDERS", json!({ "seq": 1 })),
                ("STREAM.MSG.DELETE.ORDERS", json!({ "seq": 1 })),
                ("STREAM.INFO.ORDERS", json!({ "deleted_details": true })),
                ("STREAM.PURGE.ORDERS", json!(null)),
                ("STREAM.INFO.ORDERS", json!(null)),
                ("STREAM.DELETE.ORDERS", json!(null)),
                ("STREAM.NAMES", json!(null)),
                ("STREAM.LIST", json!(null)),
            ],
        )
        .await;
    });
}

#[test]
fn answers_about_streams_that_are_not_there() {
    check(async |stage| {
        compare(
            stage,
            &[
                ("STREAM.INFO.NONE", json!(null)),
                (
                    "STREAM.UPDATE.NONE",
                    json!({ "name": "NONE", "subjects": ["none"] }),
                ),
                ("STREAM.DELETE.NONE", json!(null)),
                ("STREAM.PURGE.NONE", json!(null)),
                ("STREAM.MSG.GET.NONE", json!({ "seq": 1 })),
                ("STREAM.MSG.DELETE.NONE", json!({ "seq": 1 })),
                ("CONSUMER.INFO.NONE.none", json!(null)),
                ("CONSUMER.NAMES.NONE", json!(null)),
                ("CONSUMER.LIST.NONE", json!(null)),
                ("CONSUMER.DELETE.NONE.none", json!(null)),
            ],
        )
        .await;
    });
}

#[test]
fn answers_about_consumers() {
    check(async |stage| {
        stage.api("STREAM.CREATE.ORDERS", orders()).await;
        stage.store("orders.a", &["a", "b"]).await;
        let pull = json!({ "stream_name": "ORDERS", "config": {
            "durable_name": "worker", "ack_policy": "explicit", "deliver_policy": "all", "replay_policy": "instant",
        }});
        let named = json!({ "stream_name": "ORDERS", "config": {
            "name": "named", "ack_policy": "none", "deliver_policy": "all", "replay_policy": "instant",
            "filter_subject": "orders.a",
        }});
        let push = json!({ "stream_name": "ORDERS", "config": {
            "durable_name": "push", "deliver_subject": "deliveries", "ack_policy": "explicit",
            "deliver_policy": "new", "replay_policy": "instant", "deliver_group": "group",
        }});
        compare(
            stage,
            &[
                ("CONSUMER.NAMES.ORDERS", json!(null)),
                ("CONSUMER.DURABLE.CREATE.ORDERS.worker", pull.clone()),
                ("CONSUMER.CREATE.ORDERS.worker", pull),
                ("CONSUMER.CREATE.ORDERS.named.orders.a", named),
                ("CONSUMER.CREATE.ORDERS.push", push),
                ("CONSUMER.INFO.ORDERS.worker", json!(null)),
                ("CONSUMER.INFO.ORDERS.none", json!(null)),
                ("CONSUMER.NAMES.ORDERS", json!(null)),
                ("CONSUMER.LIST.ORDERS", json!(null)),
                ("STREAM.INFO.ORDERS", json!(null)),
                ("CONSUMER.DELETE.ORDERS.named", json!(null)),
                ("CONSUMER.DELETE.ORDERS.named", json!(null)),
                ("CONSUMER.NAMES.ORDERS", json!(null)),
            ],
        )
        .await;
    });
}

#[test]
fn questions_that_make_no_sense() {
    check(async |stage| {
        stage.api("STREAM.CREATE.ORDERS", orders()).await;
        let garbage = async |subject: &str| {
            let asked = stage
                .client
                .request(format!("$JS.API.{subject}"), "{".into())
                .await;
            let answer: Value = serde_json::from_slice(&asked.unwrap().payload).unwrap();
            answer["error"]["err_code"].to_string()
        };
        for subject in [
            "STREAM.CREATE.X",
            "STREAM.MSG.GET.ORDERS",
            "CONSUMER.CREATE.ORDERS.x",
            "STREAM.NAMES",
        ] {
            stage.compares(garbage(subject).await);
        }
        compare(
            stage,
            &[
                ("STREAM.CREATE.OTHER", orders()),
                ("STREAM.MSG.GET.ORDERS", json!(null)),
                ("STREAM.MSG.DELETE.ORDERS", json!(null)),
                (
                    "STREAM.CREATE.X",
                    json!({ "name": "X", "subjects": ["a", "a"] }),
                ),
                (
                    "STREAM.CREATE.Y",
                    json!({ "name": "Y", "subjects": ["a.*", "a.b"] }),
                ),
                ("STREAM.CREATE.Z", json!({ "name": "Z", "max_age": 1 })),
                (
                    "STREAM.CREATE.W",
                    json!({ "name": "W", "retention": "nonsense" }),
                ),
                ("STREAM.CREATE.R", json!({ "name": "R", "num_replicas": 3 })),
                (
                    "STREAM.CREATE.D",
                    json!({ "name": "D", "max_age": 200_000_000, "duplicate_window": 300_000_000 }),
                ),
            ],
        )
        .await;
    });
}

#[test]
fn the_account_counts_streams_and_consumers() {
    check(async |stage| {
        let account = stage.js.query_account().await.unwrap();
        stage.sees((account.streams, account.consumers), &(0, 0));
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stream
            .create_consumer(crate::stage::durable("worker"))
            .await
            .unwrap();
        let account = stage.js.query_account().await.unwrap();
        stage.sees((account.streams, account.consumers), &(1, 1));
    });
}
