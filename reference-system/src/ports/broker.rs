//! The message broker: acknowledged publishing, and subscriptions in consumer groups.
//!
//! Delivery is at least once, in order per partition, and a message's key chooses its partition.
//! The port does not hide duplicates: the inbox of each consumer does that.

mod in_process;
mod nats;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::fingerprint::fingerprint;

pub use in_process::InProcessBroker;
pub use nats::NatsBroker;

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
    /// The message was definitely not written.
    #[error("publish rejected: {0}")]
    Rejected(String),
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
pub trait Broker: Clone + Send + Sync + 'static {
    /// What [`Broker::subscribe`] gives.
    type Subscription: Subscription;

    /// Publishes one message and returns once the broker has acknowledged it.
    ///
    /// # Errors
    /// See [`PublishError`]: refused for certain, or of unknown outcome.
    fn publish(&self, message: Message) -> impl Future<Output = Result<(), PublishError>> + Send;

    /// Joins the consumer group `group` for `topics`.
    ///
    /// # Errors
    /// See [`BrokerError`].
    fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> impl Future<Output = Result<Self::Subscription, BrokerError>> + Send;
}

/// One member of a consumer group.
pub trait Subscription: Send + 'static {
    /// What [`Subscription::next`] gives.
    type Delivery: Delivery;

    /// Waits for the next delivery. Whoever waits no longer loses none.
    ///
    /// # Errors
    /// See [`BrokerError`]; the subscription is of no use afterwards.
    fn next(&mut self) -> impl Future<Output = Result<Self::Delivery, BrokerError>> + Send;
}

/// One delivery of one message, to be settled once.
pub trait Delivery: Send + 'static {
    /// The message delivered.
    fn message(&self) -> &Message;

    /// Settles the delivery: the message is done for this group.
    ///
    /// # Errors
    /// See [`BrokerError`]; the message may be delivered again.
    fn ack(self) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Holds the key's partition back for `after`, then delivers the message again.
    ///
    /// # Errors
    /// See [`BrokerError`]; the message will be delivered again at the broker's own time.
    fn retry(self, after: Duration) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// The same key is in the same partition on every machine and in every build.
fn partition_of(key: &str) -> u8 {
    let hash = fingerprint([key.as_bytes()]);
    u8::try_from(hash % u64::from(PARTITIONS)).unwrap_or(0)
}
