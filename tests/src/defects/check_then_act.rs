//! `check-then-act`: the event is looked up, applied and recorded in three transactions.

use std::convert::Infallible;

use reference_system::Environment;
use reference_system::consumer::{Failure, Handler};
use reference_system::event::Event;
use reference_system::inbox::Inbox;
use reference_system::ports::Transaction;
use reference_system::ports::broker::{BrokerError, Delivery};
use scenarios::deploy::Processes;

use super::by_hand::{Consumer, PAUSE, Routine};

/// Records an event once its effect stands, so that none is recorded without one.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckThenAct;

impl Processes for CheckThenAct {
    async fn consume<E: Environment, H: Handler>(&self, environment: E, handler: H) -> Infallible {
        let consumer = Consumer {
            environment,
            handler,
        };
        consumer.run(*self).await
    }
}

impl Routine for CheckThenAct {
    async fn handle<E: Environment, H: Handler>(
        &self,
        consumer: &Consumer<E, H>,
        event: &Event,
        delivery: impl Delivery,
    ) -> Result<(), BrokerError> {
        match apply_unless_known(consumer, event).await {
            Ok(()) => delivery.ack().await,
            Err(error) => {
                tracing::warn!(%error, "will be tried again");
                delivery.retry(PAUSE).await
            }
        }
    }
}

async fn apply_unless_known<E: Environment, H: Handler>(
    consumer: &Consumer<E, H>,
    event: &Event,
) -> Result<(), Failure> {
    let (inbox, name) = (consumer.environment.inbox(), consumer.handler.consumer());
    let mut tx = consumer.begin().await?;
    let known = inbox.knows(&mut tx, name, &event.id.to_string()).await?;
    tx.rollback().await?;
    if known {
        return Ok(());
    }
    consumer.effect(event).await?;
    let mut tx = consumer.begin().await?;
    inbox.first_time(&mut tx, name, event).await?;
    tx.commit().await?;
    Ok(())
}
