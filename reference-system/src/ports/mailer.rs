//! Outgoing mail. Every mail carries an idempotency key: a repeated key is not sent again.

mod http;
mod logging;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use http::HttpMailer;
pub use logging::LoggingMailer;

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The order that it is about, for the mail service's own records.
    pub order_id: String,
    /// What the customer is told, in one word, for the same records.
    pub occasion: String,
    /// The recipient.
    pub to: String,
    /// The subject line.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The mail service gave no answer; the mail may have been sent.
    #[error("mailer unavailable: {0}")]
    Unavailable(String),
}

/// A mail service.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends the mail, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; repeat with the same key.
    async fn send(&self, idempotency_key: &str, mail: Mail) -> Result<(), MailerError>;
}
