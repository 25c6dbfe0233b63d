//! A NATS server with JetStream, for clients of the real product, in a simulated run or as a process of its
//! own.
//!
//! The rules are in a pure core: it knows no clock, no sockets and no chance. Time comes in as an argument,
//! what it says comes out as bytes for each connection. [`Server`] is the thin layer of sockets and timers
//! around it, on ordinary tokio. A [`Witness`] is asked before a publish, a delivery or a settlement has its
//! effect, and told afterwards: through it a harness injects faults and records what happened. [`Readout`] is
//! what is left at the end.
//!
//! Reading order: `protocol` is the wire; `core` what a server knows, with `core/router` for core
//! subscriptions, `core/stream` for stored messages, `core/consumer` for who gets them, and `core/publish`,
//! `core/deliver` and `core/settle` for the three things that happen to a message; `api` the requests of
//! JetStream; `server` the sockets.
//!
//! Absent: TLS, accounts, clusters, leaf nodes, WebSocket and MQTT; of JetStream: mirrors, sources,
//! transforms of subjects, counters, schedules, batches, priority groups, snapshots, replay at the original
//! pace, rate limits. What a client asks for of these is refused with an error that says so, or is without
//! effect where its documentation says so.

mod api;
mod core;
mod headers;
mod moment;
mod protocol;
mod readout;
mod server;
mod settings;
mod subject;
mod witness;

pub use crate::core::{ConnectionId, Core, Output};
pub use api::{
    AckPolicy, ApiError, ConsumerConfig, DeliverPolicy, Discard, ReplayPolicy, Retention, Storage,
    StreamConfig,
};
pub use moment::Moment;
pub use protocol::{ConnectOptions, Operation, Publish, Reader, WrongInput};
pub use readout::{ConsumerState, Readout, StoredMessage, StreamState, Unsettled};
pub use server::Server;
pub use settings::{Credentials, Settings};
pub use witness::{
    Answer, Client, Delivery, DeliveryFate, Event, Fate, NoWitness, Publication, PublishOutcome,
    Request, Settle, SettleOutcome, Settlement, Witness,
};
