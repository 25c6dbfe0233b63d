//! `dedup-before-effect`: the event counts as handled before its effect is certain.

use reference_system::consumer::Failure;
use reference_system::event::Event;
use reference_system::ports::broker::{BrokerError, Delivery};

use super::by_hand::{Consumer, Routine, settle};

/// Records the event in one transaction, and applies it in the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct DedupBeforeEffect;

impl Routine for DedupBeforeEffect {
    async fn handle(
        &self,
        consumer: &Consumer,
        event: &Event,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError> {
        settle(delivery, record_then_apply(consumer, event).await).await
    }
}

async fn record_then_apply(consumer: &Consumer, event: &Event) -> Result<(), Failure> {
    let inbox = &consumer.environment.inbox;
    let mut tx = consumer.begin().await?;
    let name = consumer.handler.consumer();
    let is_new = inbox.first_time(&mut tx, name, event).await?;
    tx.commit().await?;
    if is_new {
        consumer.effect(event).await?;
    }
    Ok(())
}
