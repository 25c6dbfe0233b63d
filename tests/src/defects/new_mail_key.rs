//! `new-mail-key`: each attempt at a mail is a new mail to the mail service.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::identifiers::new_id;
use reference_system::ports::mailer::{HttpMailer, Mail, Mailer, MailerError};
use scenarios::deploy::Processes;

use super::third_parties::mailer;

/// Draws the idempotency key where the mail is sent, and not where it is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewMailKey;

impl Processes for NewMailKey {
    fn mailer(&self) -> Arc<dyn Mailer> {
        Arc::new(NewKeys(mailer()))
    }
}

/// A mail service that is never asked the same thing twice.
struct NewKeys(HttpMailer);

#[async_trait]
impl Mailer for NewKeys {
    async fn send(&self, _: &str, mail: Mail) -> Result<(), MailerError> {
        let key = new_id().to_string();
        self.0.send(&key, mail).await
    }
}
