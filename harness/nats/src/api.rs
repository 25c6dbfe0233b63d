//! The JetStream API: requests to `$JS.API.>` and their answers in JSON.
//!
//! Subjects and fields are those of <https://docs.nats.io/reference/reference-protocols/nats_api_reference>.

mod account;
mod consumer_config;
mod consumers;
mod direct;
mod dispatch;
mod error;
mod messages;
mod stream_config;
mod streams;
mod wire;

pub use consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy, ReplayPolicy};
pub use error::ApiError;
pub(crate) use error::known;
pub use stream_config::{Discard, Retention, Storage, StreamConfig};
pub(crate) use wire::{base64, nanos, nanos_list};
