//! The company that charges cards. Every call carries an idempotency key: a repeated key repeats the first answer.

mod http;
mod sandbox;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use http::HttpCardProcessor;
pub use sandbox::SandboxCardProcessor;

/// What to charge, or to give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[async_trait]
pub trait CardProcessor: Send + Sync {
    /// Charges the card, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; repeat with the same key.
    async fn charge(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> Result<ChargeOutcome, CardProcessorError>;

    /// Gives the money back, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; repeat with the same key.
    async fn refund(&self, idempotency_key: &str, charge: Charge)
    -> Result<(), CardProcessorError>;
}

/// What the processor is asked for, as the body of a request over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Transaction {
    /// Take the money.
    Charge(Charge),
    /// Give it back.
    Refund(Charge),
}

/// The body of the answer with which a charge is declined, whose status is 402.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// Why, in the processor's words.
    pub reason: String,
}
