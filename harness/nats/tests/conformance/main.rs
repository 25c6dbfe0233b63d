//! What a NATS server promises to its clients: small programs written with async-nats, each of which writes
//! down what it observes and says what the documentation (<https://docs.nats.io>) promises.
//!
//! Each runs against the server under test, and again against a real `nats-server` where there is one; both
//! have to keep the promises and to show the same otherwise. `servers` says which servers these are, and
//! `differences` lists what is meant to differ.
//!
//! Not covered: clusters, accounts and permissions, TLS, leaf nodes, mirrors and sources.
#![expect(
    clippy::disallowed_methods,
    reason = "the programs run in real time, on servers that are processes or threads"
)]

mod consumers;
mod differences;
mod key_value;
mod messaging;
mod relay;
mod servers;
mod stage;
mod streams;
mod transcript;
