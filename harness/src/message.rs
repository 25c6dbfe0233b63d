//! What travels through the broker: a message, and the position it has in a log.
//!
//! The harness reads a message's headers by the names below and never looks into its payload.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Header that carries the identity of the event; redeliveries and republications keep it.
pub const EVENT_ID: &str = "event-id";
/// Header that carries the type of the event, such as `order.placed`.
pub const EVENT_TYPE: &str = "event-type";
/// Header that carries the version of the schema that the payload is written to, as a whole number.
pub const SCHEMA_VERSION: &str = "schema-version";
/// Header that carries the id which every event of one flow shares.
pub const CORRELATION_ID: &str = "correlation-id";
/// Header that carries the id of the event (or request) which caused this one.
pub const CAUSATION_ID: &str = "causation-id";

/// A message as producers hand it to the broker and as consumers get it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The topic (or stream) it is published to.
    pub topic: String,
    /// Decides the partition; messages of one key keep their order.
    pub key: String,
    /// Headers, by name.
    pub headers: BTreeMap<String, String>,
    /// The body, opaque to the broker and to the harness.
    pub payload: Vec<u8>,
}

impl Message {
    /// A message without headers.
    pub fn new(topic: &str, key: &str, payload: impl Into<Vec<u8>>) -> Self {
        Message {
            topic: topic.to_owned(),
            key: key.to_owned(),
            headers: BTreeMap::new(),
            payload: payload.into(),
        }
    }

    /// The same message with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The event's identity, if the producer gave it one.
    pub fn event_id(&self) -> Option<&str> {
        self.headers.get(EVENT_ID).map(String::as_str)
    }

    /// The event's type, if the producer gave it one.
    pub fn event_type(&self) -> Option<&str> {
        self.headers.get(EVENT_TYPE).map(String::as_str)
    }

    /// The version of the payload's schema, if the producer gave it a number.
    pub fn schema_version(&self) -> Option<u32> {
        self.headers.get(SCHEMA_VERSION)?.parse().ok()
    }
}

/// Where a message stands in the broker's log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition within the topic, from zero.
    pub partition: u32,
    /// The offset within the partition, from zero, without gaps.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// What the payload of a poisoned message is replaced with: bytes that no format accepts.
pub const POISON: &[u8] = b"\xff\xfestormglass poison\xff";
