//! What a service is deployed with: its ports, its patterns and its settings.

use std::time::Duration;

use crate::database::Database;
use crate::dead_letter::{GiveUp, Park};
use crate::inbox::{Inbox, ProcessedEvents};
use crate::ports::Broker;
use crate::publishing::{Outbox, PublishPattern};
use crate::retention::Retention;
use crate::retry::Backoff;
use crate::shutdown::Shutdown;

/// Everything a service needs, by associated types, so that a service names one parameter.
pub trait Environment: Clone + Send + Sync + 'static {
    /// The broker.
    type Broker: Broker;
    /// How events are published.
    type Publishing: PublishPattern;
    /// How duplicates are recognised.
    type Inbox: Inbox;
    /// What becomes of an event that cannot be handled.
    type GiveUp: GiveUp;

    /// The service's own database.
    fn database(&self) -> &Database;
    /// The broker.
    fn broker(&self) -> &Self::Broker;
    /// How events are published.
    fn publishing(&self) -> &Self::Publishing;
    /// How duplicates are recognised.
    fn inbox(&self) -> &Self::Inbox;
    /// What becomes of an event that cannot be handled.
    fn give_up(&self) -> &Self::GiveUp;
    /// When the service has to stop.
    fn shutdown(&self) -> &Shutdown;
    /// Numbers and durations.
    fn settings(&self) -> &Settings;
}

/// Numbers and durations that an operator may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Attempts at an event that breaks its contract, before it is given up.
    pub attempts_max: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// How often the relay looks for unsent rows when there were none.
    pub relay_poll: Duration,
    /// How many outbox rows the relay reads at once.
    pub relay_page: u32,
    /// How long a relay that is gone keeps an outbox from the others.
    pub relay_lease: Duration,
    /// What a service forgets, and when.
    pub retention: Retention,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            backoff: Backoff::default(),
            relay_poll: Duration::from_millis(100),
            relay_page: 100,
            relay_lease: Duration::from_secs(2),
            retention: Retention::default(),
        }
    }
}

/// The usual [`Environment`]: outbox, `processed_events` and dead letter queue, each of which can be replaced.
#[derive(Clone, Debug)]
pub struct Dependencies<B, P = Outbox, N = ProcessedEvents, G = Park> {
    /// The service's own database.
    pub database: Database,
    /// The broker.
    pub broker: B,
    /// How events are published.
    pub publishing: P,
    /// How duplicates are recognised.
    pub inbox: N,
    /// What becomes of an event that cannot be handled.
    pub give_up: G,
    /// When the service has to stop.
    pub shutdown: Shutdown,
    /// Numbers and durations.
    pub settings: Settings,
}

impl<B: Broker> Dependencies<B> {
    /// The defaults around the given ports.
    pub fn new(database: Database, broker: B) -> Self {
        Self {
            database,
            broker,
            publishing: Outbox::default(),
            inbox: ProcessedEvents,
            give_up: Park,
            shutdown: Shutdown::never(),
            settings: Settings::default(),
        }
    }
}

impl<B, P, N, G> Dependencies<B, P, N, G> {
    /// The same with another way of publishing.
    #[must_use]
    pub fn with_publishing<Q>(self, publishing: Q) -> Dependencies<B, Q, N, G> {
        Dependencies {
            database: self.database,
            broker: self.broker,
            publishing,
            inbox: self.inbox,
            give_up: self.give_up,
            shutdown: self.shutdown,
            settings: self.settings,
        }
    }

    /// The same with another inbox.
    #[must_use]
    pub fn with_inbox<M>(self, inbox: M) -> Dependencies<B, P, M, G> {
        Dependencies {
            database: self.database,
            broker: self.broker,
            publishing: self.publishing,
            inbox,
            give_up: self.give_up,
            shutdown: self.shutdown,
            settings: self.settings,
        }
    }

    /// The same with another fate for events that cannot be handled.
    #[must_use]
    pub fn with_give_up<H>(self, give_up: H) -> Dependencies<B, P, N, H> {
        Dependencies {
            database: self.database,
            broker: self.broker,
            publishing: self.publishing,
            inbox: self.inbox,
            give_up,
            shutdown: self.shutdown,
            settings: self.settings,
        }
    }

    /// The same, to be stopped by `shutdown`.
    #[must_use]
    pub fn with_shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }

    /// The same with other settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }
}

impl<B, P, N, G> Environment for Dependencies<B, P, N, G>
where
    B: Broker,
    P: PublishPattern,
    N: Inbox,
    G: GiveUp,
{
    type Broker = B;
    type Publishing = P;
    type Inbox = N;
    type GiveUp = G;

    fn database(&self) -> &Database {
        &self.database
    }
    fn broker(&self) -> &B {
        &self.broker
    }
    fn publishing(&self) -> &P {
        &self.publishing
    }
    fn inbox(&self) -> &N {
        &self.inbox
    }
    fn give_up(&self) -> &G {
        &self.give_up
    }
    fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
}
