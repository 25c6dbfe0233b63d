//! Watching keys.

use async_nats::jetstream::kv::Watch;
use futures::StreamExt;

use super::{bucket, line};
use crate::stage::check;

/// The next `count` entries, each with a mark if all of the present had been seen with it.
async fn seen(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let entry = watch.next().await.unwrap().unwrap();
        let mark = if entry.seen_current { " (current)" } else { "" };
        lines.push(line(&entry) + mark);
    }
    lines
}

#[test]
fn a_watch_sees_what_is_written() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        store.put("apples", "0".into()).await.unwrap();
        let mut watch = store.watch("apples").await.unwrap();
        store.put("apples", "1".into()).await.unwrap();
        store.put("pears", "1".into()).await.unwrap();
        store.delete("apples").await.unwrap();
        store.put("apples", "2".into()).await.unwrap();
        store.purge("apples").await.unwrap();
        let mut lines = seen(&mut watch, 4).await;
        lines
            .iter_mut()
            .for_each(|line| *line = line.replace(" (current)", ""));
        stage.sees(
            lines,
            &[
                "apples=1 @2",
                "apples deleted @4",
                "apples=2 @5",
                "apples purged @6",
            ],
        );
    });
}

#[test]
fn a_watch_with_history_begins_with_the_last_value_of_each_key() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")] {
            store.put(key, value.into()).await.unwrap();
        }
        let mut watch = store.watch_with_history(">").await.unwrap();
        stage.sees(
            seen(&mut watch, 3).await,
            &["b=1 @2", "a=2 @3", "c=1 @4 (current)"],
        );
        store.put("b", "2".into()).await.unwrap();
        stage.sees(seen(&mut watch, 1).await, &["b=2 @5 (current)"]);
    });
}

#[test]
fn a_watch_can_be_for_a_pattern_or_for_many_keys() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        let mut pattern = store.watch("fruit.*").await.unwrap();
        let mut many = store.watch_many(["fruit.apples", "nuts"]).await.unwrap();
        let mut all = store.watch_all().await.unwrap();
        for key in ["fruit.apples", "nuts", "fruit.pears", "fruit.dried.figs"] {
            store.put(key, "1".into()).await.unwrap();
        }
        let keys = async |watch: &mut Watch, count| {
            let mut keys = Vec::new();
            for _ in 0..count {
                keys.push(watch.next().await.unwrap().unwrap().key);
            }
            keys
        };
        stage.sees(
            keys(&mut pattern, 2).await,
            &["fruit.apples", "fruit.pears"],
        );
        stage.sees(keys(&mut many, 2).await, &["fruit.apples", "nuts"]);
        stage.sees(
            keys(&mut all, 4).await,
            &["fruit.apples", "nuts", "fruit.pears", "fruit.dried.figs"],
        );
    });
}

#[test]
fn a_watch_can_begin_at_a_revision() {
    check(async |stage| {
        let store = bucket(stage, 5).await;
        for value in ["1", "2", "3"] {
            store.put("apples", value.into()).await.unwrap();
        }
        let mut watch = store.watch_from_revision("apples", 2).await.unwrap();
        let entries = [watch.next().await, watch.next().await];
        let lines = entries.map(|entry| line(&entry.unwrap().unwrap()));
        stage.sees(lines, &["apples=2 @2", "apples=3 @3"]);
    });
}
