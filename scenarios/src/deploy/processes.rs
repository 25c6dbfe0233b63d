//! What runs on the hosts: the loop of every consumer, the relay, the monitor, the desk behind the gateway, and the third
//! parties.
//!
//! Each is the reference system's own unless it is overridden. A mistake that is no single step of a
//! loop but its order or its shape is deployed here, and so is one that a process remembers.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::monitor::Monitor;
use reference_system::order::{OrderDesk, Orders};
use reference_system::ports::card_processor::HttpCardProcessor;
use reference_system::ports::mailer::HttpMailer;
use reference_system::ports::{CardProcessor, Mailer};
use reference_system::relay::Relay;
use reference_system::saga::Timer;

use super::{CARD_PROCESSOR, MAILER};

/// What a deployment runs.
#[async_trait(?Send)]
pub trait Processes: Send + Sync {
    /// Consumes with `handler` until the environment has to stop.
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        consumer::run(environment, handler).await
    }

    /// Relays until the relay has to stop.
    async fn relay(&self, relay: Relay) {
        relay.run().await
    }

    /// Watches the clock of a saga until its environment has to stop.
    async fn timer(&self, timer: Timer) {
        timer.run().await
    }

    /// Watches the consumers until the monitor has to stop.
    async fn monitor(&self, monitor: Monitor) {
        monitor.run().await
    }

    /// The card processor as the payment service calls it.
    fn card_processor(&self) -> Arc<dyn CardProcessor> {
        Arc::new(HttpCardProcessor::new(&format!("http://{CARD_PROCESSOR}")))
    }

    /// The mail service as the notification service calls it.
    fn mailer(&self) -> Arc<dyn Mailer> {
        Arc::new(HttpMailer::new(&format!("http://{MAILER}")))
    }

    /// What the gateway asks for orders.
    fn desk(&self, environment: Environment) -> Arc<dyn Orders> {
        Arc::new(OrderDesk::new(environment))
    }
}

/// The reference system's own.
#[derive(Clone, Copy, Debug)]
pub struct AsWritten;

impl Processes for AsWritten {}
