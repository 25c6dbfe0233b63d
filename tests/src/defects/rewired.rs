//! An environment of the reference system with some of its parts replaced. It is no mistake itself.

use reference_system::dependencies::Settings;
use reference_system::inbox::Inbox;
use reference_system::ports::{Broker, Database};
use reference_system::publishing::PublishPattern;
use reference_system::{Environment, Shutdown};

/// `environment`, but for its database, broker, inbox and way of publishing.
#[derive(Clone)]
pub(super) struct Rewired<E, D, B, N, P> {
    environment: E,
    database: D,
    broker: B,
    inbox: N,
    publishing: P,
}

impl<E: Environment, N> Rewired<E, E::Database, E::Broker, N, E::Publishing> {
    /// The same with another inbox.
    pub(super) fn inbox(environment: E, inbox: N) -> Self {
        Rewired {
            database: environment.database().clone(),
            broker: environment.broker().clone(),
            publishing: environment.publishing().clone(),
            environment,
            inbox,
        }
    }
}

impl<E: Environment, B> Rewired<E, E::Database, B, E::Inbox, E::Publishing> {
    /// The same with another broker.
    pub(super) fn broker(environment: E, broker: B) -> Self {
        Rewired {
            database: environment.database().clone(),
            inbox: environment.inbox().clone(),
            publishing: environment.publishing().clone(),
            environment,
            broker,
        }
    }
}

impl<E: Environment, D> Rewired<E, D, E::Broker, E::Inbox, E::Publishing> {
    /// The same with another database.
    pub(super) fn database(environment: E, database: D) -> Self {
        Rewired {
            broker: environment.broker().clone(),
            inbox: environment.inbox().clone(),
            publishing: environment.publishing().clone(),
            environment,
            database,
        }
    }
}

impl<E: Environment, P> Rewired<E, E::Database, E::Broker, E::Inbox, P> {
    /// The same with another way of publishing.
    pub(super) fn publishing(environment: E, publishing: P) -> Self {
        Rewired {
            database: environment.database().clone(),
            broker: environment.broker().clone(),
            inbox: environment.inbox().clone(),
            environment,
            publishing,
        }
    }
}

impl<E, D, B, N, P> Environment for Rewired<E, D, B, N, P>
where
    E: Environment,
    D: Database,
    B: Broker,
    N: Inbox,
    P: PublishPattern,
{
    type Database = D;
    type Broker = B;
    type Identifiers = E::Identifiers;
    type Publishing = P;
    type Inbox = N;
    type GiveUp = E::GiveUp;

    fn database(&self) -> &D {
        &self.database
    }
    fn broker(&self) -> &B {
        &self.broker
    }
    fn identifiers(&self) -> &E::Identifiers {
        self.environment.identifiers()
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
