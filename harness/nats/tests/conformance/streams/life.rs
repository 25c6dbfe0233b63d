//! Streams that are made, changed, found and deleted.

use std::collections::BTreeSet;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use futures::StreamExt;
use serde_json::json;

use super::state;
use crate::stage::{check, stream_config};
use crate::transcript::outcome;

#[test]
fn a_new_stream_is_empty() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.sees(state(&stream).await, "0 in 0..0");
        let config = stream.cached_info().config.clone();
        stage.sees(config.name, "ORDERS");
        stage.sees(config.subjects, &["orders.>"]);
        stage.sees(config.max_messages, &-1);
        stage.sees(config.max_bytes, &-1);
        stage.sees(config.max_messages_per_subject, &-1);
        stage.sees(config.max_consumers, &-1);
        stage.sees(config.max_message_size, &-1);
        stage.sees(config.duplicate_window.as_secs(), &120);
        stage.sees(config.storage, &StorageType::File);
    });
}

#[test]
fn creating_the_same_stream_again_changes_nothing() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let again = stage
            .js
            .create_stream(stream_config("ORDERS", &["orders.>"]))
            .await;
        stage.sees(again.is_ok(), &true);
        stage.sees(state(&stream).await, "1 in 1..1");
    });
}

#[test]
fn creating_a_stream_with_another_configuration_is_refused() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        let other = stage
            .js
            .create_stream(stream_config("ORDERS", &["others.>"]))
            .await;
        stage.sees(
            outcome(other.map(drop)),
            "error: jetstream error: stream name already in use with a different configuration (code 400, error \
             code 10058)",
        );
    });
}

#[test]
fn a_stream_is_got_or_created() {
    check(async |stage| {
        let config = stream_config("ORDERS", &["orders.>"]);
        stage.js.get_or_create_stream(config.clone()).await.unwrap();
        stage.store("orders.new", &["a"]).await;
        let found = stage.js.get_or_create_stream(config).await.unwrap();
        stage.sees(found.cached_info().state.messages, &1);
    });
}

#[test]
fn streams_do_not_share_subjects() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        for subject in ["orders.new", "orders.*", "orders.>", "*.new", ">"] {
            let other = stage
                .js
                .create_stream(stream_config("OTHER", &[subject]))
                .await;
            stage.compares(outcome(other.map(drop)));
        }
        let other = stage
            .js
            .create_stream(stream_config("OTHER", &["orders"]))
            .await;
        stage.sees(other.is_ok(), &true);
    });
}

#[test]
fn a_stream_without_subjects_listens_to_its_name() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &[]).await;
        stage.store("ORDERS", &["a"]).await;
        stage.sees(state(&stream).await, "1 in 1..1");
        let subjects = stream.get_info().await.unwrap().config.subjects;
        stage.sees(subjects, &["ORDERS"]);
    });
}

#[test]
fn an_update_changes_limits_and_subjects() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let config = Config {
            max_messages: 2,
            description: Some("changed".to_owned()),
            ..stream_config("ORDERS", &["orders.>", "more"])
        };
        let info = stage.js.update_stream(config).await.unwrap();
        stage.sees(info.config.max_messages, &2);
        stage.sees(info.config.description, &Some("changed"));
        stage.store("more", &["d"]).await;
        stage.sees(state(&stream).await, "2 in 3..4");
    });
}

#[test]
fn an_update_that_cannot_be_is_refused() {
    check(async |stage| {
        let missing = stage
            .js
            .update_stream(stream_config("NONE", &["none"]))
            .await;
        stage.sees(outcome(missing.map(drop)), "error: stream not found");
        stage.stream("ORDERS", &["orders.>"]).await;
        let storage = Config {
            storage: StorageType::Memory,
            ..stream_config("ORDERS", &["orders.>"])
        };
        stage.compares(outcome(stage.js.update_stream(storage).await.map(drop)));
        let window = Config {
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            ..stream_config("ORDERS", &["orders.>"])
        };
        stage.compares(outcome(stage.js.update_stream(window).await.map(drop)));
    });
}

#[test]
fn a_deleted_stream_is_gone_with_its_messages() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        stage.sees(
            stage.js.delete_stream("ORDERS").await.unwrap().success,
            &true,
        );
        let gone = stage.js.get_stream("ORDERS").await;
        stage.sees(
            outcome(gone.map(drop)),
            "error: jetstream error: stream not found (code 404, error code 10059)",
        );
        let again = stage.js.delete_stream("ORDERS").await;
        stage.compares(outcome(again.map(drop)));
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.sees(state(&stream).await, "0 in 0..0");
    });
}

#[test]
fn streams_are_listed_by_name() {
    check(async |stage| {
        for name in ["C", "A", "B"] {
            stage.stream(name, &[&name.to_lowercase()]).await;
        }
        let answer = stage.api("STREAM.NAMES", json!(null)).await;
        stage.sees(&answer["streams"], &json!(["A", "B", "C"]));
        let names = stage.js.stream_names().map(Result::unwrap);
        stage.sees(
            names.collect::<BTreeSet<_>>().await,
            &BTreeSet::from(["A", "B", "C"]),
        );
        let infos = stage
            .js
            .streams()
            .map(|info| info.unwrap().config.subjects.concat());
        stage.sees(
            infos.collect::<BTreeSet<_>>().await,
            &BTreeSet::from(["a", "b", "c"]),
        );
    });
}

#[test]
fn a_stream_is_found_by_its_subject() {
    check(async |stage| {
        stage.stream("ORDERS", &["orders.>"]).await;
        stage.stream("MAIL", &["mail.*"]).await;
        let found = stage.js.stream_by_subject("mail.sent").await;
        stage.sees(outcome(found), "\"MAIL\"");
        let found = stage.js.stream_by_subject("orders.>").await;
        stage.sees(outcome(found), "\"ORDERS\"");
        let found = stage.js.stream_by_subject("nothing").await;
        stage.sees(found.is_err(), &true);
    });
}

#[test]
fn names_and_subjects_have_to_be_valid() {
    check(async |stage| {
        for name in ["", "a.b", "a b", "a*", "a>"] {
            let made = stage.js.create_stream(stream_config(name, &["a"])).await;
            stage.sees(made.is_err(), &true);
        }
        for subject in ["a..b", ".a", "a b", "a.>.b", "$JS.API.>"] {
            let made = stage
                .js
                .create_stream(stream_config("NAME", &[subject]))
                .await;
            stage.compares(outcome(made.map(drop)));
        }
    });
}

#[test]
fn info_tells_how_many_messages_each_subject_has() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        stage.store("orders.paid", &["c"]).await;
        let info = stream.info_with_subjects("orders.*").await.unwrap();
        stage.sees(info.info.state.subjects_count, &2);
        let mut subjects: Vec<_> = info.map(Result::unwrap).collect().await;
        subjects.sort();
        stage.sees(subjects, &[("orders.new", 2), ("orders.paid", 1)]);
        let info = stream.info_with_subjects("orders.paid").await.unwrap();
        let subjects: Vec<_> = info.map(Result::unwrap).collect().await;
        stage.sees(subjects, &[("orders.paid", 1)]);
    });
}

#[test]
fn streams_outlive_the_server() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        stream.delete_message(1).await.unwrap();
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        stage.sees(state(&stream).await, "1 in 2..2");
        stage.store("orders.new", &["c"]).await;
        stage.sees(super::contents(&stream).await, &["2 b", "3 c"]);
    });
}
