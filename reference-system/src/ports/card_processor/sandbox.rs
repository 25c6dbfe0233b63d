//! A card processor without a bank behind it, within the process or over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

use super::{CardProcessor, CardProcessorError, Charge, ChargeOutcome, Declined, Transaction};

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

impl SandboxCardProcessor {
    /// The routes that [`HttpCardProcessor`](super::HttpCardProcessor) calls: `POST /transactions`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/transactions", post(transact))
            .with_state(self)
    }
}

async fn transact(
    State(processor): State<SandboxCardProcessor>,
    headers: HeaderMap,
    Json(transaction): Json<Transaction>,
) -> Response {
    let key = headers.get("idempotency-key");
    let Some(key) = key.and_then(|key| key.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "no idempotency-key").into_response();
    };
    let outcome = match transaction {
        Transaction::Charge(charge) => processor.charge(key, charge).await,
        Transaction::Refund(charge) => {
            let refunded = processor.refund(key, charge).await;
            refunded.map(|()| ChargeOutcome::Captured)
        }
    };
    match outcome {
        Ok(ChargeOutcome::Captured) => StatusCode::OK.into_response(),
        Ok(ChargeOutcome::Declined { reason }) => {
            (StatusCode::PAYMENT_REQUIRED, Json(Declined { reason })).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

#[async_trait]
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
        let reason = "insufficient funds".to_owned();
        ChargeOutcome::Declined { reason }
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
