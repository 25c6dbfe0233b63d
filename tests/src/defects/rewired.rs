//! An environment of the reference system with another inbox or another broker. It is no mistake itself.

use reference_system::Environment;
use reference_system::dependencies::Settings;

/// `environment`, but for its inbox and its broker.
#[derive(Clone)]
pub(super) struct Rewired<E, B, N> {
    environment: E,
    broker: B,
    inbox: N,
}

impl<E: Environment, N> Rewired<E, E::Broker, N> {
    /// The same with another inbox.
    pub(super) fn inbox(environment: E, inbox: N) -> Self {
        let broker = environment.broker().clone();
        Rewired {
            environment,
            broker,
            inbox,
        }
    }
}

impl<E: Environment, B> Rewired<E, B, E::Inbox> {
    /// The same with another broker.
    pub(super) fn broker(environment: E, broker: B) -> Self {
        let inbox = environment.inbox().clone();
        Rewired {
            environment,
            broker,
            inbox,
        }
    }
}

impl<E, B, N> Environment for Rewired<E, B, N>
where
    E: Environment,
    B: reference_system::ports::Broker,
    N: reference_system::inbox::Inbox,
{
    type Database = E::Database;
    type Broker = B;
    type Identifiers = E::Identifiers;
    type Publishing = E::Publishing;
    type Inbox = N;
    type GiveUp = E::GiveUp;

    fn database(&self) -> &E::Database {
        self.environment.database()
    }
    fn broker(&self) -> &B {
        &self.broker
    }
    fn identifiers(&self) -> &E::Identifiers {
        self.environment.identifiers()
    }
    fn publishing(&self) -> &E::Publishing {
        self.environment.publishing()
    }
    fn inbox(&self) -> &N {
        &self.inbox
    }
    fn give_up(&self) -> &E::GiveUp {
        self.environment.give_up()
    }
    fn settings(&self) -> &Settings {
        self.environment.settings()
    }
}
