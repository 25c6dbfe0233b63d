//! `correlation-regenerated`: an event that is tried again has left its flow.

use reference_system::correlation::Correlation;
use reference_system::event::Event;
use reference_system::ports::broker::{BrokerError, Delivery};
use tokio::time::sleep;

use super::by_hand::{Consumer, PAUSE, Routine};

/// Tries again outside of the request's context, where a new correlation id is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct CorrelationRegenerated;

impl Routine for CorrelationRegenerated {
    async fn handle(
        &self,
        consumer: &Consumer,
        event: &Event,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError> {
        let mut chain = Correlation::caused_by(event);
        while let Err(error) = consumer.once(event, &chain).await {
            tracing::warn!(%error, "will be tried again");
            sleep(PAUSE).await;
            let fresh = Correlation::at_ingress(None);
            chain.correlation_id = fresh.correlation_id;
        }
        delivery.ack().await
    }
}
