//! Buckets that are made, found and deleted, and the streams that they are.

use async_nats::jetstream::kv::Config;
use serde_json::json;

use super::bucket;
use crate::stage::check;
use crate::transcript::plain;

#[test]
fn a_bucket_is_a_stream_of_a_certain_form() {
    check(async |stage| {
        bucket(stage, 5).await;
        let info = stage.api("STREAM.INFO.KV_stock", json!(null)).await;
        let config = plain(info["config"].clone());
        stage.sees(&config["subjects"], &json!(["$KV.stock.>"]));
        stage.sees(&config["max_msgs_per_subject"], &json!(5));
        stage.sees(&config["deny_delete"], &json!(true));
        stage.sees(&config["allow_rollup_hdrs"], &json!(true));
        stage.sees(&config["allow_direct"], &json!(true));
        stage.sees(&config["discard"], &json!("new"));
        stage.compares(config);
    });
}

#[test]
fn a_bucket_is_found_by_its_name() {
    check(async |stage| {
        stage.sees(stage.js.get_key_value("stock").await.is_err(), &true);
        bucket(stage, 5)
            .await
            .put("apples", "1".into())
            .await
            .unwrap();
        let found = stage.js.get_key_value("stock").await.unwrap();
        stage.sees(found.get("apples").await.unwrap().is_some(), &true);
        let status = found.status().await.unwrap();
        stage.sees(
            (status.bucket(), status.history(), status.values()),
            &("stock", 5, 1),
        );
    });
}

#[test]
fn a_stream_that_is_no_bucket_is_not_found_as_one() {
    check(async |stage| {
        stage.stream("KV_false", &["false"]).await;
        stage.sees(stage.js.get_key_value("false").await.is_err(), &true);
    });
}

#[test]
fn a_deleted_bucket_is_gone() {
    check(async |stage| {
        let store = bucket(stage, 1).await;
        store.put("apples", "1".into()).await.unwrap();
        stage.js.delete_key_value("stock").await.unwrap();
        stage.sees(stage.js.get_key_value("stock").await.is_err(), &true);
        let store = bucket(stage, 1).await;
        stage.sees(store.get("apples").await.unwrap().is_some(), &false);
    });
}

#[test]
fn a_bucket_that_exists_is_not_made_otherwise() {
    check(async |stage| {
        bucket(stage, 1).await;
        let other = Config {
            bucket: "stock".to_owned(),
            history: 7,
            ..Default::default()
        };
        stage.sees(
            stage.js.create_key_value(other.clone()).await.is_err(),
            &true,
        );
        let updated = stage.js.update_key_value(other).await;
        stage.sees(updated.is_ok(), &true);
        let status = stage
            .js
            .get_key_value("stock")
            .await
            .unwrap()
            .status()
            .await
            .unwrap();
        stage.sees(status.history(), &7);
    });
}
