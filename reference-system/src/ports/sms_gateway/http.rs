//! Text messages over HTTP: `POST /messages` under an `Idempotency-Key`.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Client;

use super::{SmsGateway, SmsGatewayError, TextMessage};
use crate::telemetry::http;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The gateway at an address.
#[derive(Clone, Debug)]
pub struct HttpSmsGateway {
    client: Client,
    messages: String,
}

impl HttpSmsGateway {
    /// The gateway at `url`, such as `https://sms.example`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            client: Client::new(),
            messages: format!("{}/messages", url.trim_end_matches('/')),
        }
    }
}

#[async_trait]
impl SmsGateway for HttpSmsGateway {
    async fn send(
        &self,
        idempotency_key: &str,
        message: TextMessage,
    ) -> Result<(), SmsGatewayError> {
        let request = self.client.post(&self.messages).json(&message);
        let request = request.header("idempotency-key", idempotency_key);
        let answer = http::send("sms-gateway", request.timeout(PATIENCE)).await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(_) => Ok(()),
            Err(error) => Err(SmsGatewayError(error.to_string())),
        }
    }
}
