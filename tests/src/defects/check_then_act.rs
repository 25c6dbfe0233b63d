//! `check-then-act`: the event is looked up, applied and recorded in three transactions.

use reference_system::consumer::Failure;
use reference_system::event::Event;
use reference_system::ports::broker::{BrokerError, Delivery};

use super::by_hand::{Consumer, Routine, settle};

/// Records an event once its effect stands, so that none is recorded without one.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckThenAct;

impl Routine for CheckThenAct {
    async fn handle(
        &self,
        consumer: &Consumer,
        event: &Event,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError> {
        settle(delivery, apply_unless_known(consumer, event).await).await
    }
}

async fn apply_unless_known(consumer: &Consumer, event: &Event) -> Result<(), Failure> {
    let (inbox, name) = (&consumer.environment.inbox, consumer.handler.consumer());
    let mut reader = consumer.environment.database.reads().acquire().await?;
    let known = inbox
        .knows(&mut reader, name, &event.id.to_string())
        .await?;
    drop(reader);
    if known {
        return Ok(());
    }
    consumer.effect(event).await?;
    let mut tx = consumer.begin().await?;
    inbox.first_time(&mut tx, name, event).await?;
    tx.commit().await?;
    Ok(())
}
