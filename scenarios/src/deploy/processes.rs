//! What runs on the hosts: the loop of every consumer, the relay, the desk behind the gateway, and the third parties.
//!
//! Each is the reference system's own unless it is overridden. A mistake that is no single step of a
//! loop but its order or its shape is deployed here.

use reference_system::consumer::{self, Handler};
use reference_system::order::{OrderDesk, Orders};
use reference_system::ports::{Broker, CardProcessor, Database, Mailer};
use reference_system::relay::{self, HandOff};
use reference_system::{Environment, Settings, Shutdown};
use stormglass::Host;

use super::{SimulatedCardProcessor, SimulatedMailer};

/// What a deployment runs.
pub trait Processes: Clone + Send + Sync + 'static {
    /// Consumes with `handler` until the environment has to stop.
    fn consume<E: Environment, H: Handler>(
        &self,
        environment: E,
        handler: H,
    ) -> impl Future<Output = ()> {
        consumer::run(environment, handler)
    }

    /// Relays the outboxes of `databases` as the relay of this name, until it has to stop.
    fn relay<D: Database, B: Broker>(
        &self,
        name: &str,
        databases: Vec<D>,
        broker: B,
        settings: Settings,
        hand_off: impl HandOff,
        shutdown: Shutdown,
    ) -> impl Future<Output = ()> {
        relay::run_with(name, databases, broker, settings, hand_off, shutdown)
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
