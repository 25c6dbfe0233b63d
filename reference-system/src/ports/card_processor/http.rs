//! A card processor over HTTP: `POST /transactions` under an `Idempotency-Key`.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, StatusCode};

use super::{CardProcessor, CardProcessorError, Charge, ChargeOutcome, Declined, Transaction};
use crate::telemetry::http;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The processor at an address.
#[derive(Clone, Debug)]
pub struct HttpCardProcessor {
    client: Client,
    transactions: String,
}

impl HttpCardProcessor {
    /// The processor at `url`, such as `https://cards.example`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            client: Client::new(),
            transactions: format!("{}/transactions", url.trim_end_matches('/')),
        }
    }

    async fn ask(
        &self,
        idempotency_key: &str,
        transaction: Transaction,
    ) -> Result<ChargeOutcome, CardProcessorError> {
        let request = self.client.post(&self.transactions).json(&transaction);
        let request = request.header("idempotency-key", idempotency_key);
        let answer = http::send("card-processor", request.timeout(PATIENCE)).await?;
        match answer.status() {
            StatusCode::PAYMENT_REQUIRED => {
                let Declined { reason } = answer.json().await?;
                Ok(ChargeOutcome::Declined { reason })
            }
            status if status.is_success() => Ok(ChargeOutcome::Captured),
            status => Err(CardProcessorError::Unavailable(format!("status {status}"))),
        }
    }
}

#[async_trait]
impl CardProcessor for HttpCardProcessor {
    async fn charge(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> Result<ChargeOutcome, CardProcessorError> {
        self.ask(idempotency_key, Transaction::Charge(charge)).await
    }

    async fn refund(
        &self,
        idempotency_key: &str,
        charge: Charge,
    ) -> Result<(), CardProcessorError> {
        let refund = Transaction::Refund(charge);
        match self.ask(idempotency_key, refund).await? {
            ChargeOutcome::Captured => Ok(()),
            ChargeOutcome::Declined { reason } => Err(CardProcessorError::Unavailable(reason)),
        }
    }
}

impl From<reqwest::Error> for CardProcessorError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
