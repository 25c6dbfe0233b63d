//! Values that are put, read and removed.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::kv::Config;
use futures::StreamExt;

use super::{bucket, line};
use crate::stage::check;
use crate::transcript::text;

#[test]
fn a_value_is_read_as_it_was_put() {
    check(async |stage| {
        let store = bucket(stage, 1).await;
        stage.sees(store.get("apples").await.unwrap(), &None::<bytes::Bytes>);
        stage.sees(store.put("apples", "3".into()).await.unwrap(), &1);
        stage.sees(store.put("pears", "5".into()).await.unwrap(), &2);
        let value = store.get("apples").await.unwrap();
        stage.sees(value.map(|value| text(&value)), &Some("3"));
        stage.sees(store.put("apples", "4".into()).await.unwrap(), &3);
        let entry = store.entry("apples").await.unwrap().unwrap();
        stage.sees(line(&entry), "apples=4 @3");
    });
}

#[test]
fn a_deleted_key_has_no_value_but_a_history() {
    check(async |stage| {
        let store = bucket(stage, 5).await;
        store.put("apples", "3".into()).await.unwrap();
        store.delete("apples").await.unwrap();
        stage.sees(store.get("apples").await.unwrap(), &None::<bytes::Bytes>);
        let entry = store.entry("apples").await.unwrap().unwrap();
        stage.sees(line(&entry), "apples deleted @2");
        let history = store.history("apples").await.unwrap();
        let history: Vec<_> = history.map(|entry| line(&entry.unwrap())).collect().await;
        stage.sees(history, &["apples=3 @1", "apples deleted @2"]);
    });
}

#[test]
fn a_purged_key_has_no_history() {
    check(async |stage| {
        let store = bucket(stage, 5).await;
        for value in ["3", "4", "5"] {
            store.put("apples", value.into()).await.unwrap();
        }
        store.put("pears", "1".into()).await.unwrap();
        store.purge("apples").await.unwrap();
        let history = store.history("apples").await.unwrap();
        let history: Vec<_> = history.map(|entry| line(&entry.unwrap())).collect().await;
        stage.sees(history, &["apples purged @5"]);
        let value = store.get("pears").await.unwrap();
        stage.sees(value.map(|value| text(&value)), &Some("1"));
    });
}

#[test]
fn a_history_is_as_long_as_the_bucket_allows() {
    check(async |stage| {
        let store = bucket(stage, 2).await;
        for value in ["1", "2", "3"] {
            store.put("apples", value.into()).await.unwrap();
            store.put("pears", value.into()).await.unwrap();
        }
        let history = store.history("apples").await.unwrap();
        let history: Vec<_> = history.map(|entry| line(&entry.unwrap())).collect().await;
        stage.sees(history, &["apples=2 @3", "apples=3 @5"]);
    });
}

#[test]
fn keys_are_those_that_have_a_value() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        stage.sees(store.keys().await.unwrap().count().await, &0);
        for key in ["apples", "pears", "plums", "fruit.dried.figs"] {
            store.put(key, "1".into()).await.unwrap();
        }
        store.delete("pears").await.unwrap();
        store.purge("plums").await.unwrap();
        let keys = store.keys().await.unwrap().map(Result::unwrap);
        let keys: BTreeSet<_> = keys.collect().await;
        stage.sees(keys, &BTreeSet::from(["apples", "fruit.dried.figs"]));
    });
}

#[test]
fn an_old_revision_can_be_read() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        store.put("apples", "1".into()).await.unwrap();
        store.put("pears", "9".into()).await.unwrap();
        store.put("apples", "2".into()).await.unwrap();
        let entry = store.entry_for_revision("apples", 1).await.unwrap();
        stage.sees(entry.map(|entry| line(&entry)), &Some("apples=1 @1"));
        let none = store.entry_for_revision("apples", 9).await.unwrap();
        stage.sees(none.is_none(), &true);
    });
}

#[test]
fn values_grow_old() {
    check(async |stage| {
        let config = Config {
            bucket: "short".to_owned(),
            max_age: Duration::from_millis(300),
            ..Default::default()
        };
        let store = stage.js.create_key_value(config).await.unwrap();
        store.put("apples", "1".into()).await.unwrap();
        stage.sees(store.get("apples").await.unwrap().is_some(), &true);
        tokio::time::sleep(Duration::from_millis(900)).await;
        stage.sees(store.get("apples").await.unwrap().is_some(), &false);
        stage.sees(store.create("apples", "2".into()).await.unwrap(), &2);
    });
}

#[test]
fn a_value_may_be_empty_and_keys_may_have_signs() {
    check(async |stage| {
        let store = bucket(stage, 1).await;
        store.put("a-b_c/d=e.f", "".into()).await.unwrap();
        let value = store.get("a-b_c/d=e.f").await.unwrap();
        stage.sees(value.map(|value| value.len()), &Some(0));
        for key in ["", ".a", "a.", "a b", "a*"] {
            stage.sees(store.put(key, "1".into()).await.is_err(), &true);
        }
    });
}

#[test]
fn values_can_be_limited_in_size() {
    check(async |stage| {
        let config = Config {
            bucket: "small".to_owned(),
            max_value_size: 10,
            ..Default::default()
        };
        let store = stage.js.create_key_value(config).await.unwrap();
        stage.sees(store.put("a", "x".repeat(10).into()).await.is_ok(), &true);
        stage.sees(store.put("a", "x".repeat(11).into()).await.is_err(), &true);
    });
}
