//! What runs on the hosts: the loop of every consumer, the relay, and the third party that charges cards.
//!
//! Each is the reference system's own unless it is overridden. A mistake that is no single step of a
//! loop but its order or its shape is deployed here.

use std::convert::Infallible;

use reference_system::consumer::{self, Handler};
use reference_system::ports::{Broker, CardProcessor, Database};
use reference_system::relay::{self, HandOff};
use reference_system::{Environment, Settings};
use stormglass::Host;

use super::SimulatedCardProcessor;

/// What a deployment runs.
pub trait Processes: Clone + Send + Sync + 'static {
    /// Consumes with `handler`, for ever.
    fn consume<E: Environment, H: Handler>(
        &self,
        environment: E,
        handler: H,
    ) -> impl Future<Output = Infallible> {
        consumer::run(environment, handler)
    }

    /// Relays the outboxes of `databases`, for ever.
    fn relay<D: Database, B: Broker>(
        &self,
        databases: Vec<D>,
        broker: B,
        settings: Settings,
        hand_off: impl HandOff,
    ) -> impl Future<Output = Infallible> {
        relay::run_with(databases, broker, settings, hand_off)
    }

    /// The card processor as `host` calls it.
    fn card_processor(&self, host: &Host) -> impl CardProcessor {
        SimulatedCardProcessor::of(host)
    }
}

/// The reference system's own.
#[derive(Clone, Copy, Debug)]
pub struct AsWritten;

impl Processes for AsWritten {}
