//! What is said of all streams together.

use serde_json::{Value, json};

use super::Storage;
use crate::core::Core;

impl Core {
    pub(super) fn account_info(&self) -> Value {
        let used = |storage| -> u64 {
            self.streams
                .values()
                .filter(|stream| stream.config.storage == storage)
                .map(|stream| stream.log.bytes())
                .sum()
        };
        let consumers: usize = self
            .streams
            .values()
            .map(|stream| stream.consumers.len())
            .sum();
        json!({
            "memory": used(Storage::Memory),
            "storage": used(Storage::File),
            "reserved_memory": 0,
            "reserved_storage": 0,
            "streams": self.streams.len(),
            "consumers": consumers,
            "limits": {
                "max_memory": -1,
                "max_storage": -1,
                "max_streams": -1,
                "max_consumers": -1,
                "max_ack_pending": -1,
                "memory_max_stream_bytes": -1,
                "storage_max_stream_bytes": -1,
                "max_bytes_required": false,
            },
            "api": { "level": 5, "total": self.requests.0, "errors": self.requests.1 },
        })
    }
}
