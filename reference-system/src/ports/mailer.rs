//! Outgoing mail. Every mail carries an idempotency key: a repeated key is not sent again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The order that it is about, for the mail service's own records.
    pub order_id: String,
    /// What the customer is told, in one word, for the same records.
    pub occasion: &'static str,
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
pub trait Mailer: Clone + Send + Sync + 'static {
    /// Sends the mail, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; repeat with the same key.
    fn send(
        &self,
        idempotency_key: &str,
        mail: Mail,
    ) -> impl Future<Output = Result<(), MailerError>> + Send;
}

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
