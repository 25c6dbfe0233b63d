//! `timeout-taken-for-payment`: a card processor that does not answer in time is taken to have charged.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome, HttpCardProcessor,
};
use scenarios::deploy::Processes;

use super::third_parties::card_processor;

/// Trusts that a charge which was asked for will be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeoutTakenForPayment;

impl Processes for TimeoutTakenForPayment {
    fn card_processor(&self) -> Arc<dyn CardProcessor> {
        Arc::new(Trusting(card_processor()))
    }
}

struct Trusting(HttpCardProcessor);

#[async_trait]
impl CardProcessor for Trusting {
    async fn charge(&self, key: &str, charge: Charge) -> Result<ChargeOutcome, CardProcessorError> {
        let answer = self.0.charge(key, charge).await;
        Ok(answer.unwrap_or(ChargeOutcome::Captured))
    }

    async fn refund(&self, key: &str, charge: Charge) -> Result<(), CardProcessorError> {
        self.0.refund(key, charge).await
    }
}
