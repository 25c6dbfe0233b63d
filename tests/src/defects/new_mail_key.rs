//! `new-mail-key`: each attempt at a mail is a new mail to the mail service.

use reference_system::ports::identifiers::{Identifiers, UuidV7};
use reference_system::ports::mailer::{Mail, Mailer, MailerError};
use scenarios::deploy::{Processes, SimulatedMailer};
use stormglass::Host;

/// Draws the idempotency key where the mail is sent, and not where it is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewMailKey;

impl Processes for NewMailKey {
    fn mailer(&self, host: &Host) -> impl Mailer {
        NewKeys(SimulatedMailer::of(host))
    }
}

/// A mail service that is never asked the same thing twice.
#[derive(Clone)]
struct NewKeys(SimulatedMailer);

impl Mailer for NewKeys {
    async fn send(&self, _: &str, mail: Mail) -> Result<(), MailerError> {
        let key = UuidV7.next().to_string();
        self.0.send(&key, mail).await
    }
}
