//! Consumers: which messages are delivered, how often, and to whom.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers>

mod acks;
mod attempts;
mod bookkeeping;
mod deliver_policies;
mod disturbances;
mod filters;
mod flow_control;
mod leases;
mod life;
mod limits;
mod nak;
mod ordered;
mod pausing;
mod pull_requests;
mod pulling;
mod push;
mod restarts;
mod statuses;
mod work;
