//! `no-compensation`: a compensation that fails is logged, and the reservation is kept.

use reference_system::consumer::Handler;
use reference_system::correlation::Correlation;
use reference_system::event::Event;
use reference_system::event::contract::event_type;
use reference_system::inventory::Stockkeeping;
use reference_system::ports::broker::{BrokerError, Delivery};

use super::by_hand::{Consumer, PAUSE, Routine};

/// Gives stock back as well as it can, which is once.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoCompensation;

impl Routine for NoCompensation {
    async fn handle(
        &self,
        consumer: &Consumer,
        event: &Event,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError> {
        let is_stock = consumer.handler.consumer() == Stockkeeping.consumer();
        let compensates = is_stock && event.event_type == event_type::ORDER_CANCELLED;
        match consumer.once(event, &Correlation::caused_by(event)).await {
            Ok(()) => delivery.ack().await,
            Err(error) if compensates => {
                tracing::error!(%error, "not compensated");
                delivery.ack().await
            }
            Err(error) => {
                tracing::warn!(%error, "will be tried again");
                delivery.retry(PAUSE).await
            }
        }
    }
}
