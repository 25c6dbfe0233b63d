//! The company that charges cards. Every call carries an idempotency key: a repeated key repeats the first answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

/// What to charge, or to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The order that is paid for.
    pub order_id: String,
    /// The card's token.
    pub card: String,
    /// The amount, in cents.
    pub amount_cents: i64,
}

/// What became of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money is ours.
    Captured,
    /// The card was declined.
    Declined {
        /// Why, in the processor's words.
        reason: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CardProcessorError {
    /// The processor gave no answer; the call may have taken effect.
    #[error("card processor unavailable: {0}")]
    Unavailable(String),
}

/// A card processor.
pub trait CardProcessor: Clone + Send + Sync + 'static {
    /// Charges the card, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; repeat with the same key.
    fn charge(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> impl Future<Output = Result<ChargeOutcome, CardProcessorError>> + Send;

    /// Gives the money back, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; repeat with the same key.
    fn refund(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> impl Future<Output = Result<(), CardProcessorError>> + Send;
}

/// A processor without a bank behind it: it declines cards whose token begins with `declined`, and captures the rest.
#[derive(Clone, Debug, Default)]
pub struct SandboxCardProcessor {
    /// What was charged and refunded.
    ledger: Arc<Mutex<Ledger>>,
}

/// The sandbox's memory, by idempotency key.
#[derive(Debug, Default)]
struct Ledger {
    charges: BTreeMap<String, (Charge, ChargeOutcome)>,
    refunds: BTreeMap<String, Charge>,
}

impl SandboxCardProcessor {
    /// What was captured, in the order of the idempotency keys.
    #[must_use]
    pub fn captured(&self) -> Vec<Charge> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let captured = ledger.charges.values();
        let captured = captured.filter(|(_, outcome)| *outcome == ChargeOutcome::Captured);
        captured.map(|(charge, _)| charge.clone()).collect()
    }

    /// What was given back, in the order of the idempotency keys.
    #[must_use]
    pub fn refunded(&self) -> Vec<Charge> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.refunds.values().cloned().collect()
    }
}

impl CardProcessor for SandboxCardProcessor {
    async fn charge(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> Result<ChargeOutcome, CardProcessorError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = ledger.charges.entry(idempotency_key.to_owned());
        let (_, outcome) = entry.or_insert_with(|| {
            let outcome = answer(&charge);
            (charge, outcome)
        });
        Ok(outcome.clone())
    }

    async fn refund(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> Result<(), CardProcessorError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = ledger.refunds.entry(idempotency_key.to_owned());
        entry.or_insert(charge);
        Ok(())
    }
}

fn answer(charge: &Charge) -> ChargeOutcome {
    if charge.card.starts_with("declined") {
        ChargeOutcome::Declined {
            reason: "insufficient funds".to_owned(),
        }
    } else {
        ChargeOutcome::Captured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_repeated_key_charges_once_and_repeats_the_answer() {
        let processor = SandboxCardProcessor::default();
        let charge = |card: &str| Charge {
            order_id: "o".to_owned(),
            card: card.to_owned(),
            amount_cents: 100,
        };
        for card in ["visa", "declined"] {
            let outcome = processor.charge("key", charge(card)).await.unwrap();
            assert_eq!(outcome, ChargeOutcome::Captured);
        }
        assert_eq!(processor.captured(), [charge("visa")]);
    }
}
