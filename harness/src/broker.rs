//! Brokers as state machines: what the modelled broker promises, and never anything that its documentation forbids.
//!
//! Reading order: `profile` says which broker is modelled, with a folder for each; `log` is what all of them write to,
//! `consumers` and `rules` are what a profile brings of its own, and `core` puts them together. All of it is without I/O,
//! clock and chance; `simple_broker` is the server around it, and the client.

mod consumers;
mod core;
mod interface;
mod log;
#[cfg(test)]
mod model;
mod profile;
mod rules;

pub use interface::Standing;
pub use profile::{Capabilities, Deduplication, JetStreamSettings, KafkaSettings, Profile};

pub(crate) use self::core::Core;
pub(crate) use self::interface::{
    Capacity, Claim, Fetch, Handout, Join, MemberId, Refusal, Rejection, Seen, Settled, Stamp,
    Wish, Written,
};
pub(crate) use self::rules::{Lane, Violation};

/// The name of the simple broker's host.
pub(crate) const HOST: &str = "broker";
