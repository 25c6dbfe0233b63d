//! Key-value buckets, which are streams of a certain form.
//! <https://docs.nats.io/nats-concepts/jetstream/key-value-store>, ADR-8

mod buckets;
mod revisions;
mod values;
mod watching;

use async_nats::jetstream::kv::{Config, Entry, Operation, Store};

use crate::stage::Stage;
use crate::transcript::text;

/// A bucket that remembers `history` values of each key.
async fn bucket(stage: &Stage, history: i64) -> Store {
    let config = Config {
        bucket: "stock".to_owned(),
        history,
        ..Default::default()
    };
    stage.js.create_key_value(config).await.unwrap()
}

/// An entry in one line: `key=value @revision`, or what was done to the key.
fn line(entry: &Entry) -> String {
    let (key, revision) = (&entry.key, entry.revision);
    match entry.operation {
        Operation::Put => format!("{key}={} @{revision}", text(&entry.value)),
        Operation::Delete => format!("{key} deleted @{revision}"),
        Operation::Purge => format!("{key} purged @{revision}"),
    }
}
