//! The message broker: acknowledged publishing, and subscriptions in consumer groups.
//!
//! Delivery is at least once, in order per partition, and a message's key chooses its partition.
//! The port does not hide duplicates: the inbox of each consumer does that.

mod in_process;
pub mod nats;
mod standing;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fingerprint::fingerprint;
use async_trait::async_trait;

pub use in_process::InProcessBroker;
pub use nats::{NatsBroker, NatsSettings};
pub use standing::{Standing, Standings};

/// Partitions of every topic, where a broker leaves that to its adapter.
const PARTITIONS: u8 = 8;

/// Names of the headers that every event carries.
pub mod header {
    /// The event's id; the same on every copy of it.
    pub const EVENT_ID: &str = "event-id";
    /// The event's type, such as `order.placed`.
    pub const EVENT_TYPE: &str = "event-type";
    /// The version of the payload's schema.
    pub const SCHEMA_VERSION: &str = "schema-version";
    /// The id of the whole flow, given at the ingress.
    pub const CORRELATION_ID: &str = "correlation-id";
    /// The id of the event that caused this one; absent at the ingress.
    pub const CAUSATION_ID: &str = "causation-id";
    /// How often the event was published again because an operator asked for it; absent at first.
    pub const REPLAY: &str = "replay";
    /// What a broker that drops repeated publishes tells them apart by: the event's id, and another one for each replay.
    pub const MESSAGE_ID: &str = "message-id";
}

/// A message as the broker carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic it is published to.
    pub topic: String,
    /// The partition key: messages of one key keep their order.
    pub key: String,
    /// Headers by name; see [`header`].
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub payload: Vec<u8>,
}

/// Why a publish was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The message was definitely not written, and may be when it is published again.
    #[error("publish rejected: {0}")]
    Rejected(String),
    /// The message was definitely not written, and will not be as it is until somebody has changed the broker or the
    /// message: it is too large, say, or its headers cannot be sent.
    #[error("message cannot be published: {0}")]
    Unpublishable(String),
    /// The message was not sent, because too many have failed lately: a circuit breaker is open.
    #[error("circuit open")]
    CircuitOpen,
    /// The message may have been written: the answer is missing.
    #[error("outcome of the publish is unknown: {0}")]
    Unknown(String),
}

/// Why a subscription or a delivery can no longer be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker cannot be reached.
    #[error("broker unavailable: {0}")]
    Unavailable(String),
    /// Another member of the group owns the partition now.
    #[error("fenced off: {0}")]
    Fenced(String),
}

/// A connection to the broker.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Publishes one message and returns once the broker has acknowledged it.
    ///
    /// # Errors
    /// See [`PublishError`]: refused for now or for good, or of unknown outcome.
    async fn publish(&self, message: Message) -> Result<(), PublishError>;

    /// Joins the consumer group `group` for `topics`.
    ///
    /// # Errors
    /// See [`BrokerError`].
    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Waits until the subscriptions, which have to be dropped before, have handed back what they had not delivered:
    /// others get that at once, not after its time.
    async fn close(&self) {}
}

/// One member of a consumer group.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next delivery. Whoever waits no longer loses none.
    ///
    /// # Errors
    /// See [`BrokerError`]; the subscription is of no use afterwards.
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError>;
}

/// One delivery of one message, to be settled once.
#[async_trait]
pub trait Delivery: Send {
    /// The message delivered.
    fn message(&self) -> &Message;

    /// Settles the delivery: the message is done for this group.
    ///
    /// # Errors
    /// See [`BrokerError`]; the message may be delivered again.
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;

    /// Holds the key's partition back for `after`, then delivers the message again.
    ///
    /// # Errors
    /// See [`BrokerError`]; the message will be delivered again at the broker's own time.
    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BrokerError>;
}

/// The same key is in the same partition on every machine and in every build.
fn partition_of(key: &str) -> u8 {
    let hash = fingerprint([key.as_bytes()]);
    u8::try_from(hash % u64::from(PARTITIONS)).unwrap_or(0)
}
