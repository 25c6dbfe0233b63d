//! A mail service over HTTP: `POST /mails` under an `Idempotency-Key`.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Client;

use super::{Mail, Mailer, MailerError};
use crate::telemetry::http;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The mail service at an address.
#[derive(Clone, Debug)]
pub struct HttpMailer {
    client: Client,
    mails: String,
}

impl HttpMailer {
    /// The mail service at `url`, such as `https://mail.example`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            client: Client::new(),
            mails: format!("{}/mails", url.trim_end_matches('/')),
        }
    }
}

#[async_trait]
impl Mailer for HttpMailer {
    async fn send(&self, idempotency_key: &str, mail: Mail) -> Result<(), MailerError> {
        let request = self.client.post(&self.mails).json(&mail);
        let request = request.header("idempotency-key", idempotency_key);
        let answer = http::send("mailer", request.timeout(PATIENCE)).await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(_) => Ok(()),
            Err(error) => Err(MailerError::Unavailable(error.to_string())),
        }
    }
}
