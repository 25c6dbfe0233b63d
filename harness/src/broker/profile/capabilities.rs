//! Capabilities: what a broker does, by name.
//!
//! Clients, checkers and the conformance suite ask for these, and not for the broker's name, so that none of them has to
//! know of a new profile.

use std::time::Duration;

/// What a broker does, where brokers differ. What all of them do (a partition keeps its order, a message that nobody
/// settles comes again, what was acknowledged survives a crash) has no name here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// An acknowledgement settles everything in its partition up to its offset; otherwise that message alone.
    pub settles_cumulatively: bool,
    /// A partition belongs to one member of its group at a time. A change of members begins a new generation, and who
    /// settles what it had in an older one is refused. Otherwise members compete for single messages.
    pub assigns_partitions: bool,
    /// Who settles is answered, and waits for it; otherwise a settlement is sent and not heard of again.
    pub answers_settlements: bool,
    /// For how long a member may be silent before it is removed from its group, if silence ends a membership.
    pub session_timeout: Option<Duration>,
    /// After what time a delivery comes again that was not settled, although its member lives, if it does.
    pub ack_wait: Option<Duration>,
    /// How many messages of a partition a group may have in hand, if that is bounded.
    pub unsettled_max: Option<u32>,
    /// By what a repeated publish is recognised.
    pub deduplication: Deduplication,
}

/// By what a broker recognises that a message was published before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deduplication {
    /// It does not.
    Nothing,
    /// By the producer's session and the message's number in it: a producer's own resend, for ever but within one session
    /// only.
    ProducerSequence,
    /// By the id that a header carries, within its topic, whoever publishes.
    MessageId {
        /// The header.
        header: String,
        /// How long an id is remembered.
        window: Duration,
    },
}
