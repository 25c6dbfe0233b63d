//! A mail service that only keeps and logs mails, within the process or over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};

use super::{Mail, Mailer, MailerError};

/// A mailer that writes mails to the log instead of sending them.
#[derive(Clone, Debug, Default)]
pub struct LoggingMailer {
    /// What was sent, by idempotency key.
    sent: Arc<Mutex<BTreeMap<String, Mail>>>,
}

impl LoggingMailer {
    /// What was sent, in the order of the idempotency keys.
    #[must_use]
    pub fn sent(&self) -> Vec<Mail> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.values().cloned().collect()
    }
}

impl LoggingMailer {
    /// The routes that [`HttpMailer`](super::HttpMailer) calls: `POST /mails`.
    pub fn router(self) -> Router {
        Router::new().route("/mails", post(take)).with_state(self)
    }
}

async fn take(
    State(mailer): State<LoggingMailer>,
    headers: HeaderMap,
    Json(mail): Json<Mail>,
) -> StatusCode {
    let key = headers.get("idempotency-key");
    let Some(key) = key.and_then(|key| key.to_str().ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    match mailer.send(key, mail).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[async_trait]
impl Mailer for LoggingMailer {
    async fn send(&self, idempotency_key: &str, mail: Mail) -> Result<(), MailerError> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if !sent.contains_key(idempotency_key) {
            tracing::info!(to = mail.to, subject = mail.subject, "mail sent");
            sent.insert(idempotency_key.to_owned(), mail);
        }
        Ok(())
    }
}
