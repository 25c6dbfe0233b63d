//! What a service is deployed with: its ports, its patterns and its settings, each chosen when the process starts.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::database::Database;
use crate::dead_letter::{GiveUp, Park};
use crate::inbox::{Inbox, ProcessedEvents};
use crate::order::OrderPlacedVersion;
use crate::ports::Broker;
use crate::publishing::{Outbox, PublishPattern};
use crate::retention::Retention;
use crate::retry::Backoff;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// Everything a service needs. Clones share it.
#[derive(Clone)]
pub struct Environment {
    /// The service's own database.
    pub database: Database,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// How events are published.
    pub publishing: Arc<dyn PublishPattern>,
    /// How duplicates are recognised.
    pub inbox: Arc<dyn Inbox>,
    /// What becomes of an event that cannot be handled.
    pub give_up: Arc<dyn GiveUp>,
    /// Where its spans go.
    pub telemetry: Telemetry,
    /// When the service has to stop.
    pub shutdown: Shutdown,
    /// Numbers and durations.
    pub settings: Settings,
}

impl Environment {
    /// The usual one: outbox, `processed_events` and dead letter queue, and never a word to stop.
    pub fn new(database: Database, broker: Arc<dyn Broker>) -> Self {
        Self {
            database,
            broker,
            publishing: Arc::new(Outbox::default()),
            inbox: Arc::new(ProcessedEvents),
            give_up: Arc::new(Park),
            telemetry: Telemetry::off(),
            shutdown: Shutdown::never(),
            settings: Settings::default(),
        }
    }
}

/// Numbers and durations that an operator may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Attempts at an event that breaks its contract, before it is given up.
    pub attempts_max: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// How often the relay looks for unsent rows when there were none and nobody tells it of new ones.
    pub relay_poll: Duration,
    /// How often it looks all the same where the database tells it of new ones.
    pub relay_poll_listening: Duration,
    /// How many outbox rows the relay reads at once.
    pub relay_page: u32,
    /// How many rows a second the relay publishes of an outbox at most; as many as it can without one.
    pub relay_rate: Option<NonZeroU32>,
    /// How long a relay that is gone keeps an outbox from the others.
    pub relay_lease: Duration,
    /// Which version of its contract a placed order is announced in.
    pub order_placed: OrderPlacedVersion,
    /// What a service forgets, and when.
    pub retention: Retention,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            backoff: Backoff::default(),
            relay_poll: Duration::from_millis(100),
            relay_poll_listening: Duration::from_secs(1),
            relay_page: 100,
            relay_rate: None,
            relay_lease: Duration::from_secs(2),
            order_placed: OrderPlacedVersion::One,
            retention: Retention::default(),
        }
    }
}
