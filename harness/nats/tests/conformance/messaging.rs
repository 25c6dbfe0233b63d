//! Messages without memory: subjects, queue groups, requests, headers, connections.
//! <https://docs.nats.io/nats-concepts/core-nats>

mod connection;
mod headers;
mod payloads;
mod queue_groups;
mod requests;
mod subjects;
mod subscriptions;
mod wire;
