//! `unknown-version-at-debug`: an event in a version that is not known is logged where nobody looks, and acknowledged.

use reference_system::consumer::Failure;
use reference_system::correlation::Correlation;
use reference_system::event::Event;
use reference_system::ports::broker::{BrokerError, Delivery};

use super::by_hand::{Consumer, Routine, settle};

/// Takes whatever cannot be deserialised for somebody else's business.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnknownVersionAtDebug;

impl Routine for UnknownVersionAtDebug {
    async fn handle(
        &self,
        consumer: &Consumer,
        event: &Event,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError> {
        match consumer.once(event, &Correlation::caused_by(event)).await {
            Err(Failure::UnknownVersion(error)) => {
                tracing::debug!(error, "skipped");
                delivery.ack().await
            }
            handled => settle(delivery, handled).await,
        }
    }
}
