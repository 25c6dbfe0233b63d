//! What a client says on its connection.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::timers::Due;
use super::{ConnectionId, Core};
use crate::headers;
use crate::protocol::{ConnectOptions, Operation, Publish, Shown, put_error};
use crate::settings::Credentials;
use crate::subject;
use crate::witness::Client;

/// How many questions whether a client is still there may be open.
const UNANSWERED_MAX: u32 = 2;

impl Core {
    /// Does what a client said.
    pub(crate) fn operate(&mut self, id: ConnectionId, operation: Operation) {
        let Some(connection) = self.wire.connection(id) else {
            return;
        };
        // Whoever speaks is there.
        connection.unanswered = 0;
        let verbose = connection.options.verbose;
        if !connection.admitted && !matches!(operation, Operation::Connect(_)) {
            self.wire.end(id, "Authorization Violation");
            return;
        }
        match operation {
            Operation::Connect(options) => {
                if !self.introduce(id, *options) {
                    return;
                }
                let verbose = self
                    .wire
                    .connection(id)
                    .is_some_and(|connection| connection.options.verbose);
                self.confirm(id, verbose);
            }
            Operation::Publish(message) => {
                self.confirm(id, verbose);
                self.publish(id, message);
            }
            Operation::Subscribe {
                subject,
                queue,
                sid,
            } => {
                if !subject::is_valid(&subject) {
                    self.wire.put(id, |out| put_error(out, "Invalid Subject"));
                    return;
                }
                if self.wire.router.subscribe(id, &sid, &subject, queue) {
                    self.wire.note_change(subject);
                }
                self.confirm(id, verbose);
            }
            Operation::Unsubscribe { sid, max } => {
                if let Some(pattern) = self.wire.router.unsubscribe(id, &sid, max) {
                    self.wire.note_change(pattern);
                }
                self.confirm(id, verbose);
            }
            Operation::Ping => self.wire.put(id, |out| out.put_slice(b"PONG\r\n")),
            Operation::Pong | Operation::Ignored => {}
        }
    }

    fn confirm(&mut self, id: ConnectionId, verbose: bool) {
        if verbose {
            self.wire.put(id, |out| out.put_slice(b"+OK\r\n"));
        }
    }

    /// Notes what a client said of itself. Returns whether it may go on.
    fn introduce(&mut self, id: ConnectionId, options: ConnectOptions) -> bool {
        let admitted = match &self.settings.credentials {
            None => true,
            Some(Credentials::User(user, password)) => {
                options.user.as_ref() == Some(user) && options.pass.as_ref() == Some(password)
            }
            Some(Credentials::Token(token)) => options.auth_token.as_ref() == Some(token),
        };
        if !admitted {
            self.wire.end(id, "Authorization Violation");
            return false;
        }
        if options.no_responders && !options.headers {
            self.wire.end(id, "no responders requires headers support");
            return false;
        }
        if let Some(connection) = self.wire.connection(id) {
            connection.client = Arc::new(Client {
                address: connection.client.address,
                name: options.name.clone().unwrap_or_default(),
            });
            connection.admitted = true;
            connection.options = options;
        }
        true
    }

    /// A client publishes a message.
    fn publish(&mut self, id: ConnectionId, message: Publish) {
        let Some(connection) = self.wire.connection(id) else {
            return;
        };
        let client = connection.client.clone();
        let except = (!connection.options.echo).then_some(id);
        let (pedantic, no_responders) = (
            connection.options.pedantic,
            connection.options.no_responders,
        );
        if pedantic
            && !(subject::is_valid(&message.subject) && subject::is_literal(&message.subject))
        {
            self.wire
                .put(id, |out| put_error(out, "Invalid Publish Subject"));
            return;
        }
        let recipients = self.wire.router.recipients(&message.subject, except);
        let heard = !recipients.is_empty();
        if heard {
            self.wire.send(&recipients, &Shown::from(&message));
        }
        let asked = message.reply.clone().filter(|_| no_responders);
        let subject = asked.is_some().then(|| message.subject.clone());
        let taken = self.take_in(&client, message);
        if let (Some(reply), Some(subject)) = (asked, subject)
            && !heard
            && !taken
        {
            self.answer_no_responders(id, &reply, &subject);
        }
    }

    /// Tells a client that nobody is there for its request.
    fn answer_no_responders(&mut self, id: ConnectionId, reply: &str, subject: &str) {
        let Some(recipient) = self.wire.router.of_connection(reply, id) else {
            return;
        };
        let shown = Shown {
            subject: reply.to_owned(),
            reply: None,
            headers: Bytes::from(format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n")),
            payload: Bytes::new(),
        };
        self.wire.send(&[recipient], &shown);
    }

    /// Sends a message of the server's own: to core subscriptions, and to the stream that stores its subject.
    pub(crate) fn say(&mut self, message: Publish) {
        let recipients = self.wire.router.recipients(&message.subject, None);
        if !recipients.is_empty() {
            self.wire.send(&recipients, &Shown::from(&message));
        }
        if let Some(stream) = self.stream_of(&message.subject) {
            self.store(None, &stream, message, crate::witness::Answer::Never);
        }
    }

    /// Sends a message of the server's own that has only headers.
    pub(crate) fn say_status(&mut self, reply: &str, headers: Bytes) {
        self.say(Publish {
            subject: reply.to_owned(),
            headers,
            ..Publish::default()
        });
    }

    /// Sends a status without further fields.
    pub(crate) fn say_code(&mut self, reply: &str, code: u16, description: &str) {
        self.say_status(reply, headers::status(code, description));
    }

    /// Asks a client that was silent whether it is still there, or ends its connection.
    pub(crate) fn ping(&mut self, id: ConnectionId) {
        let Some(connection) = self.wire.connection(id) else {
            return;
        };
        if connection.unanswered >= UNANSWERED_MAX {
            self.wire.end(id, "Stale Connection");
            return;
        }
        connection.unanswered += 1;
        self.wire.put(id, |out| out.put_slice(b"PING\r\n"));
        let at = self.now.elapsed + self.settings.ping_interval;
        self.timers.arm(at, Due::Ping(id));
    }
}

impl From<&Publish> for Shown {
    fn from(message: &Publish) -> Self {
        Self {
            subject: message.subject.clone(),
            reply: message.reply.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
        }
    }
}
