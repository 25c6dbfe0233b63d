//! What runs on the hosts: the loop of every consumer, the relay, the desk behind the gateway, and the third parties.
//!
//! Each is the reference system's own unless it is overridden. A mistake that is no single step of a
//! loop but its order or its shape is deployed here.

use std::convert::Infallible;

use reference_system::consumer::{self, Handler};
use reference_system::order::{OrderDesk, Orders};
use reference_system::ports::{Broker, CardProcessor, Database, Mailer};
use reference_system::relay::{self, HandOff};
use reference_system::{Environment, Settings};
use stormglass::Host;

use super::{SimulatedCardProcessor, SimulatedMailer};

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

    /// Relays the outboxes of `databases`, for ever, as the relay of this name.
    fn relay<D: Database, B: Broker>(
        &self,
        name: &str,
        databases: Vec<D>,
        broker: B,
        settings: Settings,
        hand_off: impl HandOff,
    ) -> impl Future<Output = Infallible> {
        relay::run_with(name, databases, broker, settings, hand_off)
    }

    /// The card processor as `host` calls it.
    fn card_processor(&self, host: &Host) -> impl CardProcessor {
        SimulatedCardProcessor::of(host)
    }

    /// The mail service as `host` calls it.
    fn mailer(&self, host: &Host) -> impl Mailer {
        SimulatedMailer::of(host)
    }

    /// What the gateway on `host` asks for orders.
    fn desk<E: Environment>(&self, _host: &Host, environment: E) -> impl Orders {
        OrderDesk::new(environment)
    }
}

/// The reference system's own.
#[derive(Clone, Copy, Debug)]
pub struct AsWritten;

impl Processes for AsWritten {}
