//! The simple broker: a server around the core of `broker`, and the client that systems without one of their own are
//! handed.
//!
//! Reading order: `protocol` is what travels, `server` carries it to the core, where `long_polls` wait for something to
//! come, and `client` is what the system under test has.

mod client;
mod long_polls;
mod protocol;
mod server;

pub use client::{Broker, BrokerError, Delivery, PublishError, Subscription};

pub(crate) use server::SimpleBroker;

/// The TCP port that the broker listens on.
const PORT: u16 = 9092;
