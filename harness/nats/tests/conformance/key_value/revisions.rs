//! Writes that hold only if nobody else has written.

use async_nats::jetstream::kv::{CreateErrorKind, UpdateErrorKind};

use super::{bucket, line};
use crate::stage::check;

#[test]
fn a_key_is_created_once() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        stage.sees(store.create("apples", "1".into()).await.unwrap(), &1);
        let again = store.create("apples", "2".into()).await;
        stage.sees(
            again.map_err(|error| error.kind()).err(),
            &Some(CreateErrorKind::AlreadyExists),
        );
        let entry = store.entry("apples").await.unwrap().unwrap();
        stage.sees(line(&entry), "apples=1 @1");
    });
}

#[test]
fn a_key_that_was_deleted_can_be_created_again() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        store.create("apples", "1".into()).await.unwrap();
        store.delete("apples").await.unwrap();
        stage.sees(store.create("apples", "2".into()).await.unwrap(), &3);
        store.purge("apples").await.unwrap();
        stage.sees(store.create("apples", "3".into()).await.unwrap(), &5);
    });
}

#[test]
fn an_update_names_the_revision_that_it_replaces() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        store.put("apples", "1".into()).await.unwrap();
        store.put("pears", "1".into()).await.unwrap();
        stage.sees(store.update("apples", "2".into(), 1).await.unwrap(), &3);
        for wrong in [1, 2, 4, 0] {
            let refused = store.update("apples", "3".into(), wrong).await;
            let kind = refused.map_err(|error| error.kind()).err();
            stage.sees(kind, &Some(UpdateErrorKind::WrongLastRevision));
        }
        let entry = store.entry("apples").await.unwrap().unwrap();
        stage.sees(line(&entry), "apples=2 @3");
    });
}

#[test]
fn a_delete_can_name_the_revision_that_it_removes() {
    check(async |stage| {
        let store = bucket(stage, 3).await;
        store.put("apples", "1".into()).await.unwrap();
        let wrong = store.delete_expect_revision("apples", Some(7)).await;
        stage.sees(wrong.is_err(), &true);
        let right = store.delete_expect_revision("apples", Some(1)).await;
        stage.sees(right.is_ok(), &true);
        let wrong = store.purge_expect_revision("apples", Some(1)).await;
        stage.sees(wrong.is_err(), &true);
        let right = store.purge_expect_revision("apples", Some(2)).await;
        stage.sees(right.is_ok(), &true);
    });
}

#[test]
fn of_many_updates_of_one_revision_one_wins() {
    check(async |stage| {
        let store = bucket(stage, 1).await;
        store.put("apples", "0".into()).await.unwrap();
        let updates =
            (0..10_u32).map(|number| store.update("apples", number.to_string().into(), 1));
        let results = futures::future::join_all(updates).await;
        stage.sees(results.iter().filter(|result| result.is_ok()).count(), &1);
    });
}
