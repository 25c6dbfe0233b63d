//! The simulated broker: what it promises depends on its profile, and it never breaks a promise
//! that the modelled broker documents.
//!
//! Reading order: `profile` says which broker is modelled; `log`, `groups` (Kafka) and
//! `lease` (JetStream) are its state machines and `core` puts them together, all without I/O or
//! clock; `protocol` is what travels, `server` carries it to the core, and `client` is what
//! the system under test is handed.

mod client;
mod core;
mod groups;
mod interface;
mod lease;
mod log;
#[cfg(test)]
mod model;
mod profile;
mod protocol;
mod server;

pub use client::{Broker, BrokerError, Delivery, PublishError, Subscription};
pub use profile::{JetStreamSettings, KafkaSettings, Profile};

pub(crate) use self::core::Core;
pub(crate) use self::interface::Handout;
pub(crate) use server::serve;

/// The name of the broker's host.
pub(crate) const HOST: &str = "broker";

/// The TCP port that the broker listens on.
pub(crate) const PORT: u16 = 9092;
