//! What a server holds: for the end of a run, and for whether it has come to rest.

use std::time::Duration;

use bytes::Bytes;

/// What a server holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readout {
    /// All streams, by name.
    pub streams: Vec<StreamState>,
    /// All consumers, by stream and name.
    pub consumers: Vec<ConsumerState>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamState {
    /// Its name.
    pub name: String,
    /// The patterns of the subjects that it stores.
    pub subjects: Vec<String>,
    /// The sequence that was given last.
    pub last_sequence: u64,
    /// Its messages in the order of their sequences.
    pub messages: Vec<StoredMessage>,
}

/// A message of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMessage {
    /// Its sequence.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// The block of headers as it stands on the wire, or nothing.
    pub headers: Bytes,
    /// The payload.
    pub payload: Bytes,
    /// The time of day at which it was stored, since 1970 in UTC.
    pub time: Duration,
}

/// A consumer.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerState {
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// Whether it stays when nobody uses it.
    pub durable: bool,
    /// The patterns of the subjects that it wants; all if there are none.
    pub filters: Vec<String>,
    /// How many deliveries it made, redeliveries among them.
    pub deliveries: u64,
    /// The highest sequence that it delivered.
    pub delivered_sequence: u64,
    /// The sequence up to which all is settled.
    pub floor_sequence: u64,
    /// What is delivered and not settled, in the order of the sequences.
    pub unsettled: Vec<Unsettled>,
    /// How many messages were not delivered yet.
    pub undelivered: u64,
    /// The sequences of messages that were delivered as often as they may be, and not settled.
    pub given_up: Vec<u64>,
    /// The sequences of messages of which a client said that it does not want them again.
    pub terminated: Vec<u64>,
}

/// A message that is delivered and not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Its sequence.
    pub sequence: u64,
    /// How often it was delivered.
    pub attempts: u64,
}
