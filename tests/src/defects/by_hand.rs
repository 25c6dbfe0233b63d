//! A consumer written by hand around the reference system's handlers. What it does with each delivery is for
//! the mistakes to choose; it is no mistake itself.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::consumer::{Effect, Failure, Handler, Prepared};
use reference_system::correlation::Correlation;
use reference_system::database::Transaction;
use reference_system::event::Event;
use reference_system::ports::broker::{BrokerError, Delivery, Message};
use reference_system::{Environment, discarded, journal};
use scenarios::deploy::Processes;
use sqlx::AnyConnection;
use tokio::time::sleep;

/// The wait before anything is tried again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// A service's handler and what it needs.
pub(super) struct Consumer {
    pub(super) environment: Environment,
    pub(super) handler: Box<dyn Handler>,
}

/// What is done with each delivery of an event that the handler wants.
pub(super) trait Routine {
    /// Handles and settles one delivery.
    async fn handle(
        &self,
        consumer: &Consumer,
        event: &Event,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError>;
}

/// Every consumer of a deployment, written by hand around a routine.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByHand<R>(pub(super) R);

#[async_trait(?Send)]
impl<R: Routine + Send + Sync> Processes for ByHand<R> {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let consumer = Consumer {
            environment,
            handler,
        };
        consumer.run(&self.0).await
    }
}

/// Acknowledges what was handled, and asks for the rest again.
pub(super) async fn settle(
    delivery: Box<dyn Delivery>,
    handled: Result<(), Failure>,
) -> Result<(), BrokerError> {
    match handled {
        Ok(()) => delivery.ack().await,
        Err(error) => {
            tracing::warn!(%error, "will be tried again");
            delivery.retry(PAUSE).await
        }
    }
}

impl Consumer {
    /// Consumes one delivery after the other, for ever.
    pub(super) async fn run(self, routine: &impl Routine) {
        loop {
            let group = self.handler.consumer();
            let broker = &self.environment.broker;
            if let Ok(mut deliveries) = broker.subscribe(group, self.handler.topics()).await {
                while let Ok(delivery) = deliveries.next().await {
                    let settled = match self.wanted(delivery.message()) {
                        Some(event) => routine.handle(&self, &event, delivery).await,
                        None => delivery.ack().await,
                    };
                    if settled.is_err() {
                        break;
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// The event, if it can be read and the handler has an effect for it.
    pub(super) fn wanted(&self, message: &Message) -> Option<Event> {
        let event = Event::decode(message).ok()?;
        let handles = self.handler.handles().contains(&event.event_type.as_str());
        handles.then_some(event)
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction> {
        self.environment.database.begin().await
    }

    /// Prepares the event outside of any transaction.
    pub(super) async fn prepare(&self, event: &Event) -> Result<Box<dyn Prepared>, Failure> {
        let database = &self.environment.database;
        self.handler.prepare(database, event).await
    }

    /// Effect, journal and outbox of a prepared event within `tx`; what is announced belongs to `chain`.
    pub(super) async fn apply(
        &self,
        tx: &mut AnyConnection,
        event: &Event,
        prepared: Box<dyn Prepared>,
        chain: &Correlation,
    ) -> Result<(), Failure> {
        match prepared.apply(tx, event).await? {
            Effect::Discarded { reason } => {
                discarded::record(tx, self.handler.consumer(), event, &reason).await?;
            }
            Effect::Applied { effect, announces } => {
                let announced = announces.map(|new| chain.event(new));
                let entry = journal::Entry {
                    effect,
                    entity: &event.entity,
                    correlation_id: &chain.correlation_id,
                    cause_id: Some(event.id),
                    announced_by: announced.as_ref(),
                };
                journal::append(tx, entry).await?;
                let publishing = &self.environment.publishing;
                publishing.record(tx, announced.as_slice()).await?;
            }
        }
        Ok(())
    }

    /// The whole effect in a transaction of its own, and nothing else in it.
    pub(super) async fn effect(&self, event: &Event) -> Result<(), Failure> {
        let prepared = self.prepare(event).await?;
        let mut tx = self.begin().await?;
        let chain = Correlation::caused_by(event);
        self.apply(&mut tx, event, prepared, &chain).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Inbox and effect in one transaction, as it should be; what is announced belongs to `chain`.
    pub(super) async fn once(&self, event: &Event, chain: &Correlation) -> Result<(), Failure> {
        let prepared = self.prepare(event).await?;
        let mut tx = self.begin().await?;
        let (inbox, name) = (&self.environment.inbox, self.handler.consumer());
        if inbox.first_time(&mut tx, name, event).await? {
            self.apply(&mut tx, event, prepared, chain).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
