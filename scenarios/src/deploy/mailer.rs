//! A mail service as a third party of the simulation: what it sent is in the history.
//!
//! Every mail is accepted; only the service itself can be out of reach.

use reference_system::ports::mailer::{Mail, Mailer, MailerError};
use serde_json::{Value, json};
use stormglass::{External, Host};

/// The name of the third party.
pub const MAILER: &str = "mailer";

/// The mail service, as one host calls it.
#[derive(Clone)]
pub struct SimulatedMailer(External);

impl SimulatedMailer {
    /// The mail service as `host` calls it.
    pub fn of(host: &Host) -> Self {
        SimulatedMailer(host.external(MAILER))
    }
}

impl Mailer for SimulatedMailer {
    async fn send(&self, idempotency_key: &str, mail: Mail) -> Result<(), MailerError> {
        let request = json!({
            "order_id": mail.order_id,
            "occasion": mail.occasion,
            "to": mail.to,
            "subject": mail.subject,
            "body": mail.body,
        });
        let answer = self.0.call(idempotency_key, request, |_| Ok(Value::Null));
        answer
            .await
            .map(drop)
            .map_err(|error| MailerError::Unavailable(error.to_string()))
    }
}
