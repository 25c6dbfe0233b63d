//! `timeout-taken-for-decline`: a card processor that does not answer in time is taken to have declined.

use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome,
};
use scenarios::deploy::{Processes, SimulatedCardProcessor};
use stormglass::Host;

/// Cancels the order rather than keep its customer waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeoutTakenForDecline;

impl Processes for TimeoutTakenForDecline {
    fn card_processor(&self, host: &Host) -> impl CardProcessor {
        Impatient(SimulatedCardProcessor::of(host))
    }
}

#[derive(Clone)]
struct Impatient(SimulatedCardProcessor);

impl CardProcessor for Impatient {
    async fn charge(&self, key: &str, charge: Charge) -> Result<ChargeOutcome, CardProcessorError> {
        Ok(match self.0.charge(key, charge).await {
            Ok(outcome) => outcome,
            Err(error) => ChargeOutcome::Declined {
                reason: error.to_string(),
            },
        })
    }

    async fn refund(&self, key: &str, charge: Charge) -> Result<(), CardProcessorError> {
        self.0.refund(key, charge).await
    }
}
