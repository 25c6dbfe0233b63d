//! `timeout-taken-for-decline`: a card processor that does not answer in time is taken to have declined.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome, HttpCardProcessor,
};
use scenarios::deploy::Processes;

use super::third_parties::card_processor;

/// Cancels the order rather than keep its customer waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeoutTakenForDecline;

impl Processes for TimeoutTakenForDecline {
    fn card_processor(&self) -> Arc<dyn CardProcessor> {
        Arc::new(Impatient(card_processor()))
    }
}

struct Impatient(HttpCardProcessor);

#[async_trait]
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
