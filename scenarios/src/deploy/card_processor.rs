//! A card processor as a third party of the simulation: its ledger is in the history.
//!
//! It declines the cards whose token says so. Charges and refunds are entries of one ledger, told
//! apart by their `kind`; whether they are right is not its business.

use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome,
};
use serde_json::{Value, json};
use stormglass::{External, ExternalError, Host};

/// The name of the third party.
pub const CARD_PROCESSOR: &str = "card-processor";

/// Cards whose token begins like this are declined.
pub(crate) const DECLINED: &str = "declined";

/// The card processor, as one host calls it.
#[derive(Clone)]
pub struct SimulatedCardProcessor(External);

impl SimulatedCardProcessor {
    /// The card processor as `host` calls it.
    pub fn of(host: &Host) -> Self {
        SimulatedCardProcessor(host.external(CARD_PROCESSOR))
    }
}

impl CardProcessor for SimulatedCardProcessor {
    async fn charge(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> Result<ChargeOutcome, CardProcessorError> {
        let decide = |request: &Value| match request["card"].as_str() {
            Some(card) if card.starts_with(DECLINED) => Err("insufficient funds".to_owned()),
            _ => Ok(Value::Null),
        };
        // A refund is never declined.
        let bank = self.0.clone().may_refuse("declined by the bank");
        match bank
            .call(idempotency_key, entry("charge", &charge), decide)
            .await
        {
            Ok(_) => Ok(ChargeOutcome::Captured),
            Err(ExternalError::Refused(reason)) => Ok(ChargeOutcome::Declined { reason }),
            Err(error) => Err(CardProcessorError::Unavailable(error.to_string())),
        }
    }

    async fn refund(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> Result<(), CardProcessorError> {
        let answer = self.0.call(idempotency_key, entry("refund", &charge), |_| {
            Ok(Value::Null)
        });
        answer
            .await
            .map(drop)
            .map_err(|error| CardProcessorError::Unavailable(error.to_string()))
    }
}

fn entry(kind: &str, charge: &Charge) -> Value {
    json!({
        "kind": kind,
        "order_id": charge.order_id,
        "card": charge.card,
        "amount_cents": charge.amount_cents,
    })
}
