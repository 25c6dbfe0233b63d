//! What runs on the hosts: the loop of every consumer, the relay, the desk behind the gateway, and the third parties.
//!
//! Each is the reference system's own unless it is overridden. A mistake that is no single step of a
//! loop but its order or its shape is deployed here.

use reference_system::consumer::{self, Handler};
use reference_system::database::Database;
use reference_system::order::{OrderDesk, Orders};
use reference_system::ports::card_processor::HttpCardProcessor;
use reference_system::ports::mailer::HttpMailer;
use reference_system::ports::{Broker, CardProcessor, Mailer};
use reference_system::relay::{self, HandOff};
use reference_system::{Environment, Settings, Shutdown};

use super::{CARD_PROCESSOR, MAILER};

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
    fn relay<B: Broker>(
        &self,
        name: &str,
        databases: Vec<Database>,
        broker: B,
        settings: Settings,
        hand_off: impl HandOff,
        shutdown: Shutdown,
    ) -> impl Future<Output = ()> {
        relay::run_with(name, databases, broker, settings, hand_off, shutdown)
    }

    /// The card processor as the payment service calls it.
    fn card_processor(&self) -> impl CardProcessor {
        HttpCardProcessor::new(&format!("http://{CARD_PROCESSOR}"))
    }

    /// The mail service as the notification service calls it.
    fn mailer(&self) -> impl Mailer {
        HttpMailer::new(&format!("http://{MAILER}"))
    }

    /// What the gateway asks for orders.
    fn desk<E: Environment>(&self, environment: E) -> impl Orders {
        OrderDesk::new(environment)
    }
}

/// The reference system's own.
#[derive(Clone, Copy, Debug)]
pub struct AsWritten;

impl Processes for AsWritten {}
