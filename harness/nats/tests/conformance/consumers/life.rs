//! Consumers that are made, changed, found and deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, PushConsumer, pull, push};
use futures::StreamExt;
use serde_json::json;

use crate::stage::{check, durable};
use crate::transcript::outcome;

#[test]
fn a_durable_consumer_has_defaults() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = pull::Config {
            durable_name: Some("worker".to_owned()),
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let config = &consumer.cached_info().config;
        stage.sees(config.durable_name.as_deref(), &Some("worker"));
        stage.sees(config.ack_policy, &AckPolicy::Explicit);
        stage.sees(config.ack_wait, &Duration::from_secs(30));
        stage.sees(config.max_deliver, &-1);
        stage.sees(config.max_ack_pending, &1000);
        stage.sees(config.max_waiting, &512);
        stage.sees(config.inactive_threshold, &Duration::ZERO);
    });
}

#[test]
fn creating_the_same_consumer_again_finds_it() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        crate::stage::take_one(&consumer)
            .await
            .double_ack()
            .await
            .unwrap();
        let again = stream.create_consumer(durable("worker")).await.unwrap();
        stage.sees(again.cached_info().num_pending, &1);
        let found = stream
            .get_or_create_consumer("worker", durable("worker"))
            .await
            .unwrap();
        stage.sees(found.cached_info().num_pending, &1);
    });
}

#[test]
fn a_consumer_that_has_to_be_new_is_refused_where_one_is() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let first = stream.create_consumer_strict(durable("worker")).await;
        stage.sees(first.is_ok(), &true);
        // The same configuration is the same consumer, another one is a conflict.
        let same = stream.create_consumer_strict(durable("worker")).await;
        stage.compares(outcome(same.map(drop)));
        let other = pull::Config {
            max_deliver: 3,
            ..durable("worker")
        };
        let other = stream.create_consumer_strict(other).await;
        stage.sees(outcome(other.map(drop)), "error: consumer already exists");
    });
}

#[test]
fn an_update_needs_a_consumer_to_update() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let missing = stream.update_consumer(durable("worker")).await;
        stage.compares(outcome(missing.map(drop)));
        stream.create_consumer(durable("worker")).await.unwrap();
        let changed = pull::Config {
            max_deliver: 7,
            max_ack_pending: 3,
            ack_wait: Duration::from_secs(5),
            description: Some("changed".to_owned()),
            ..durable("worker")
        };
        stream.update_consumer(changed).await.unwrap();
        let info = stream.consumer_info("worker").await.unwrap();
        stage.sees(
            (info.config.max_deliver, info.config.max_ack_pending),
            &(7, 3),
        );
        stage.sees(info.config.ack_wait, &Duration::from_secs(5));
        stage.sees(info.config.description.as_deref(), &Some("changed"));
    });
}

#[test]
fn creating_with_another_configuration_updates() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stream.create_consumer(durable("worker")).await.unwrap();
        let changed = pull::Config {
            max_deliver: 7,
            ..durable("worker")
        };
        stream.create_consumer(changed).await.unwrap();
        let info = stream.consumer_info("worker").await.unwrap();
        stage.sees(info.config.max_deliver, &7);
    });
}

#[test]
fn some_things_cannot_be_updated() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let config = |field: &str, value| {
            let mut config = json!({ "durable_name": "worker", "ack_policy": "explicit" });
            config[field] = value;
            config
        };
        stage
            .consumer_error("ORDERS", "worker", config("max_waiting", json!(512)))
            .await;
        for (field, value) in [
            ("ack_policy", json!("none")),
            ("deliver_policy", json!("new")),
            ("replay_policy", json!("original")),
            ("deliver_subject", json!("push")),
            ("max_waiting", json!(3)),
        ] {
            let refused = stage
                .consumer_error("ORDERS", "worker", config(field, value))
                .await;
            stage.compares(format!("{field}: {refused}"));
        }
    });
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        for config in [
            json!({ "ack_policy": "explicit", "filter_subject": "orders.a", "filter_subjects": ["orders.b"] }),
            json!({ "ack_policy": "explicit", "filter_subjects": ["orders.a", "orders.*"] }),
            json!({ "ack_policy": "explicit", "filter_subject": "mail.a" }),
            json!({ "ack_policy": "none", "max_ack_pending": 5 }),
            json!({ "ack_policy": "none", "max_deliver": 5 }),
            json!({ "ack_policy": "explicit", "max_deliver": 1, "backoff": [1_000_000_000, 2_000_000_000] }),
            json!({ "ack_policy": "explicit", "deliver_policy": "by_start_sequence" }),
            json!({ "ack_policy": "explicit", "deliver_policy": "by_start_time" }),
            json!({ "ack_policy": "explicit", "deliver_policy": "all", "opt_start_seq": 3 }),
            json!({ "ack_policy": "explicit", "flow_control": true }),
            json!({ "ack_policy": "explicit", "idle_heartbeat": 1_000_000_000 }),
            json!({ "ack_policy": "explicit", "deliver_group": "group" }),
            json!({ "ack_policy": "explicit", "deliver_subject": "orders.a" }),
            json!({ "ack_policy": "explicit", "deliver_subject": "push.*" }),
            json!({ "ack_policy": "explicit", "deliver_subject": "push", "max_waiting": 5 }),
            json!({ "ack_policy": "explicit", "deliver_subject": "push", "flow_control": true }),
            json!({ "ack_policy": "explicit", "durable_name": "other" }),
            json!({ "ack_policy": "explicit", "deliver_policy": "last_per_subject" }),
            json!({ "ack_policy": "explicit", "max_expires": 5 }),
            json!({ "ack_policy": "nonsense" }),
        ] {
            let refused = stage
                .consumer_error("ORDERS", "worker", config.clone())
                .await;
            stage.compares(format!("{config}: {refused}"));
            stage
                .api("CONSUMER.DELETE.ORDERS.worker", json!(null))
                .await;
        }
    });
}

#[test]
fn names_have_to_be_valid() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        for name in ["a.b", "a b", "a*", "a>"] {
            let made = stream.create_consumer(durable(name)).await;
            stage.sees(made.is_err(), &true);
        }
    });
}

#[test]
fn consumers_are_listed() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        for name in ["c", "a", "b"] {
            stream.create_consumer(durable(name)).await.unwrap();
        }
        let names = stream.consumer_names().map(Result::unwrap);
        let names: BTreeSet<_> = names.collect().await;
        stage.sees(names, &BTreeSet::from(["a", "b", "c"]));
        let infos = stream.consumers().map(|info| info.unwrap().name);
        let infos: BTreeSet<_> = infos.collect().await;
        stage.sees(infos, &BTreeSet::from(["a", "b", "c"]));
    });
}

#[test]
fn a_deleted_consumer_is_gone() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        crate::stage::take_one(&consumer)
            .await
            .double_ack()
            .await
            .unwrap();
        stage.sees(
            stream.delete_consumer("worker").await.unwrap().success,
            &true,
        );
        let info = stream.consumer_info("worker").await;
        stage.sees(info.is_err(), &true);
        let again = stream.create_consumer(durable("worker")).await.unwrap();
        stage.sees(again.cached_info().num_pending, &1);
    });
}

#[test]
fn an_ephemeral_consumer_gets_a_name() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream
            .create_consumer(pull::Config::default())
            .await
            .unwrap();
        let info = consumer.cached_info();
        stage.sees(info.config.durable_name.is_none(), &true);
        stage.sees(info.name.is_empty(), &false);
        stage.compares(format!("{:?}", info.config.inactive_threshold));
        stage.sees(crate::stage::take(&consumer, 1).await.len(), &1);
    });
}

#[test]
fn an_ephemeral_consumer_goes_when_nobody_pulls() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = pull::Config {
            name: Some("short".to_owned()),
            inactive_threshold: Duration::from_millis(300),
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        for _ in 0..4 {
            crate::stage::within(&consumer, 1, Duration::from_millis(150)).await;
        }
        stage.sees(stream.consumer_info("short").await.is_ok(), &true);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stage.sees(stream.consumer_info("short").await.is_ok(), &false);
    });
}

#[test]
fn a_durable_consumer_can_be_inactive_too_long_as_well() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = pull::Config {
            inactive_threshold: Duration::from_millis(300),
            ..durable("worker")
        };
        stream.create_consumer(config).await.unwrap();
        stage.sees(stream.consumer_info("worker").await.is_ok(), &true);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stage.sees(stream.consumer_info("worker").await.is_ok(), &false);
    });
}

#[test]
fn a_consumer_is_of_one_kind() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stream.create_consumer(durable("pull")).await.unwrap();
        let config = push::Config {
            durable_name: Some("push".to_owned()),
            deliver_subject: "deliveries".to_owned(),
            ..Default::default()
        };
        stream.create_consumer(config).await.unwrap();
        let wrong = stream.get_consumer::<push::Config>("pull").await;
        stage.sees(wrong.is_err(), &true);
        let right: Result<PushConsumer, _> = stream.get_consumer("push").await;
        stage.sees(right.is_ok(), &true);
        let right: Result<PullConsumer, _> = stream.get_consumer("pull").await;
        stage.sees(right.is_ok(), &true);
    });
}
