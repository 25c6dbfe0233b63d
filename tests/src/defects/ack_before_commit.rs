//! `ack-before-commit`: a delivery is acknowledged when it comes, and handled then.

use reference_system::correlation::Correlation;
use reference_system::event::Event;
use reference_system::ports::broker::{BrokerError, Delivery};
use tokio::time::sleep;

use super::by_hand::{Consumer, PAUSE, Routine};

/// Commits offsets on receipt, as clients do by themselves unless they are told not to.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckBeforeCommit;

impl Routine for AckBeforeCommit {
    async fn handle(
        &self,
        consumer: &Consumer,
        event: &Event,
        delivery: Box<dyn Delivery>,
    ) -> Result<(), BrokerError> {
        delivery.ack().await?;
        let chain = Correlation::caused_by(event);
        while let Err(error) = consumer.once(event, &chain).await {
            tracing::warn!(%error, "will be tried again");
            sleep(PAUSE).await;
        }
        Ok(())
    }
}
