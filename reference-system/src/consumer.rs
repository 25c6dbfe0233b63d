//! The loop of every consumer: a delivery, its effect in one transaction, the acknowledgement after the commit.
//!
//! It ends in exactly one of four ways for each event it handles: applied, discarded with an audit entry, known
//! already, or given up. What is wrong with the infrastructure is retried without limit and never held against a message.

mod attempts;
mod effect;
mod fetching;
mod handler;
mod received;
mod whole;

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry::trace::FutureExt;
use tokio::time::sleep;
use tracing::Instrument;

use crate::dead_letter::{self, Refused};
use crate::environment::Environment;
use crate::event::Event;
use crate::ports::Message;
use crate::ports::broker::{BrokerError, Delivery};
use crate::retention;
use crate::telemetry::{self, Context, propagation};

use attempts::Progress;
pub use effect::{book, once};
pub use fetching::Fetching;
pub use handler::{Effect, Failure, Handler, Prepared};
use received::Received;
pub use whole::ReadingWhole;

/// Why a successor of a parked event is parked.
const BEHIND_PARKED: &str = "an earlier event of this entity is parked";
/// Why an event is looked at again that was about to be applied.
const PARKED_MEANWHILE: &str = "another consumer has parked it, or an earlier event of its entity";
/// Why an event is parked that may have been handled and forgotten.
const TOO_OLD: &str = "older than the deduplication window: whether it was handled cannot be told";

/// Consumes until it has to stop, and forgets in time what it has handled.
pub async fn run(environment: Environment, handler: Box<dyn Handler>) {
    let (database, settings) = (environment.database.clone(), environment.settings);
    tokio::select! {
        biased;
        () = consume(environment, handler) => {}
        never = retention::run(database, settings) => match never {},
    }
}

/// Subscribes, handles what is delivered, and subscribes again when the broker is lost.
async fn consume(environment: Environment, handler: Box<dyn Handler>) {
    let consumer = Consumer {
        environment,
        handler,
    };
    let mut failures = 0;
    while let Err(error) = consumer.member_of_group(&mut failures).await {
        failures += 1;
        tracing::warn!(consumer = consumer.name(), %error, "subscribing again");
        let wait = sleep(consumer.backoff(failures));
        let shutdown = &consumer.environment.shutdown;
        if shutdown.unless_it_comes(wait).await.is_none() {
            return;
        }
    }
}

/// How a delivery is settled.
enum Settle {
    Ack,
    Retry(Duration),
}

struct Consumer {
    environment: Environment,
    handler: Box<dyn Handler>,
}

impl Consumer {
    fn name(&self) -> &'static str {
        self.handler.consumer()
    }

    fn backoff(&self, failures: u32) -> Duration {
        self.environment.settings.backoff.delay(failures)
    }

    /// Handles deliveries until it has to stop, or until the broker is lost; every settled one clears
    /// `failures`. The one in hand is always finished.
    async fn member_of_group(&self, failures: &mut u32) -> Result<(), BrokerError> {
        let (broker, shutdown) = (&self.environment.broker, &self.environment.shutdown);
        let mut subscription = broker.subscribe(self.name(), self.handler.topics()).await?;
        let mut passing = BTreeMap::new();
        while let Some(delivery) = shutdown.unless_it_comes(subscription.next()).await {
            self.settle(delivery?, &mut passing).await?;
            *failures = 0;
        }
        Ok(())
    }

    /// Handles one delivery; `passing` counts the passing failures in a row of each event.
    async fn settle(
        &self,
        delivery: Box<dyn Delivery>,
        passing: &mut BTreeMap<String, u32>,
    ) -> Result<(), BrokerError> {
        let received = Received::read(Message::clone(delivery.message()));
        let span = received.span(self.name());
        let context = self.context(&received);
        async {
            let settle = match self.handle(&received).await {
                Ok(settle) => {
                    passing.remove(&received.event_id);
                    settle
                }
                Err(error) => {
                    let failures = passing.entry(received.event_id.clone()).or_default();
                    *failures += 1;
                    telemetry::failed(&Context::current(), &error);
                    tracing::warn!(%error, failures, "will be tried again");
                    Settle::Retry(self.backoff(*failures))
                }
            };
            match settle {
                Settle::Ack => delivery.ack().await,
                Settle::Retry(after) => delivery.retry(after).await,
            }
        }
        .instrument(span)
        .with_context(context)
        .await
    }

    /// The span within which a message is handled, if it is for this consumer at all.
    fn context(&self, received: &Received) -> Context {
        let parent = propagation::read(&received.message.headers);
        if received.is_ignored_by(self.handler.handles()) {
            return parent;
        }
        let telemetry = &self.environment.telemetry;
        telemetry.process(&parent, self.name(), &received.message)
    }

    /// # Errors
    /// The infrastructure failed, and the message is not to blame.
    async fn handle(&self, received: &Received) -> Result<Settle, Failure> {
        if received.is_ignored_by(self.handler.handles()) {
            return Ok(Settle::Ack);
        }
        match self.progress(received).await? {
            Progress::Settled => Ok(Settle::Ack),
            Progress::HalfParked { attempts, error } => {
                self.give_up(received, attempts, &error).await
            }
            Progress::BehindParked => self.give_up(received, 0, BEHIND_PARKED).await,
            Progress::Attempted {
                attempts,
                last_error,
            } if attempts >= self.environment.settings.attempts_max => {
                self.give_up(received, attempts, &last_error).await
            }
            Progress::Replayed => match self.attempt(received).await {
                Err(Failure::Permanent(error) | Failure::UnknownVersion(error)) => {
                    tracing::error!(error, "replayed in vain, stays parked");
                    Ok(Settle::Ack)
                }
                attempted => attempted.map(|()| Settle::Ack),
            },
            Progress::Attempted { attempts, .. } => match self.attempt(received).await {
                Ok(()) => Ok(Settle::Ack),
                Err(Failure::Permanent(error)) => self.refuse(received, &error).await,
                Err(Failure::UnknownVersion(error)) => {
                    tracing::error!(error, "cannot be read by this version of the service");
                    self.give_up(received, attempts + 1, &error).await
                }
                Err(transient) => Err(transient),
            },
        }
    }

    async fn progress(&self, received: &Received) -> sqlx::Result<Progress> {
        let mut reader = self.environment.database.reads().acquire().await?;
        let inbox = &self.environment.inbox;
        let known = inbox.knows(&mut reader, self.name(), &received.event_id);
        let progress = if known.await? {
            Progress::Settled
        } else {
            attempts::look_up(&mut reader, self.name(), received).await?
        };
        Ok(progress)
    }

    async fn attempt(&self, received: &Received) -> Result<(), Failure> {
        let event = match &received.event {
            Ok(event) => event,
            Err(error) => return Err(Failure::Permanent(error.to_string())),
        };
        let retention = &self.environment.settings.retention;
        if !received.is_replay() && retention::is_too_old(event, retention) {
            return Err(Failure::Permanent(TOO_OLD.to_owned()));
        }
        let database = &self.environment.database;
        let prepared = self.handler.prepare(database, event).await?;
        let announced = self.apply(received, event, prepared).await?;
        let publishing = &self.environment.publishing;
        publishing.after_commit(announced.as_slice()).await;
        Ok(())
    }

    /// Inbox, effect, journal and outbox in one transaction; gives the event that announces the effect.
    async fn apply(
        &self,
        received: &Received,
        event: &Event,
        prepared: Box<dyn Prepared>,
    ) -> Result<Option<Event>, Failure> {
        let mut tx = self.environment.database.begin().await?;
        if received.is_replay() {
            dead_letter::take_up(&mut tx, self.name(), &received.event_id).await?;
        }
        let inbox = &self.environment.inbox;
        if !inbox.first_time(&mut tx, self.name(), event).await? {
            let is_known = inbox
                .knows(&mut tx, self.name(), &received.event_id)
                .await?;
            tx.rollback().await?;
            return match is_known {
                true => Ok(None),
                false => Err(Failure::Transient(PARKED_MEANWHILE.to_owned())),
            };
        }
        if !received.is_replay()
            && dead_letter::holds_back(&mut tx, self.name(), &event.entity).await?
        {
            tx.rollback().await?;
            return Err(Failure::Transient(PARKED_MEANWHILE.to_owned()));
        }
        let publishing = self.environment.publishing.as_ref();
        let announced = book(&mut tx, publishing, self.name(), prepared, event).await?;
        tx.commit().await?;
        Ok(announced)
    }

    /// Counts a failed attempt against the message, and gives it up when it was the last one.
    async fn refuse(&self, received: &Received, error: &str) -> Result<Settle, Failure> {
        let database = &self.environment.database;
        let attempts = attempts::count(database, self.name(), received, error).await?;
        tracing::error!(error, attempts, "cannot be handled");
        if attempts >= self.environment.settings.attempts_max {
            return self.give_up(received, attempts, error).await;
        }
        Ok(Settle::Retry(self.backoff(attempts)))
    }

    async fn give_up(
        &self,
        received: &Received,
        attempts: u32,
        error: &str,
    ) -> Result<Settle, Failure> {
        telemetry::failed(&Context::current(), &error);
        let refused = Refused {
            consumer: self.name(),
            message: &received.message,
            event_id: &received.event_id,
            entity: &received.entity,
            attempts,
            error,
        };
        let Environment {
            database,
            broker,
            give_up,
            ..
        } = &self.environment;
        give_up.give_up(database, broker.as_ref(), refused).await?;
        Ok(Settle::Ack)
    }
}
