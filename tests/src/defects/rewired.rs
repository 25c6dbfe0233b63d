//! An environment of the reference system with some of its parts replaced. It is no mistake itself.

use reference_system::database::Database;
use reference_system::dependencies::Settings;
use reference_system::inbox::Inbox;
use reference_system::ports::Broker;
use reference_system::publishing::PublishPattern;
use reference_system::{Environment, Shutdown};

/// `environment`, but for its broker, inbox and way of publishing.
#[derive(Clone)]
pub(super) struct Rewired<E, B, N, P> {
    environment: E,
    broker: B,
    inbox: N,
    publishing: P,
}

impl<E: Environment, N> Rewired<E, E::Broker, N, E::Publishing> {
    /// The same with another inbox.
    pub(super) fn inbox(environment: E, inbox: N) -> Self {
        Rewired {
            broker: environment.broker().clone(),
            publishing: environment.publishing().clone(),
            environment,
            inbox,
        }
    }
}

impl<E: Environment, B> Rewired<E, B, E::Inbox, E::Publishing> {
    /// The same with another broker.
    pub(super) fn broker(environment: E, broker: B) -> Self {
        Rewired {
            inbox: environment.inbox().clone(),
            publishing: environment.publishing().clone(),
            environment,
            broker,
        }
    }
}

impl<E: Environment, P> Rewired<E, E::Broker, E::Inbox, P> {
    /// The same with another way of publishing.
    pub(super) fn publishing(environment: E, publishing: P) -> Self {
        Rewired {
            broker: environment.broker().clone(),
            inbox: environment.inbox().clone(),
            environment,
            publishing,
        }
    }
}

impl<E, B, N, P> Environment for Rewired<E, B, N, P>
where
    E: Environment,
    B: Broker,
    N: Inbox,
    P: PublishPattern,
{
    type Broker = B;
    type Publishing = P;
    type Inbox = N;
    type GiveUp = E::GiveUp;

    fn database(&self) -> &Database {
        self.environment.database()
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
    fn give_up(&self) -> &E::GiveUp {
        self.environment.give_up()
    }
    fn shutdown(&self) -> &Shutdown {
        self.environment.shutdown()
    }
    fn settings(&self) -> &Settings {
        self.environment.settings()
    }
}
