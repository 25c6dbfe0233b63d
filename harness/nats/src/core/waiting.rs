//! Looks after those who wait for a consumer's messages: requests of a pull consumer, listeners of a push
//! consumer.

use super::Core;
use super::consumer::{Consumer, ConsumerKey, PullRequest, Waiting};
use crate::headers::{self, Builder};

/// Who gets a message that was asked for.
pub(crate) struct Taken {
    /// Where it goes.
    pub(crate) reply: String,
    /// How many bytes the request could have had still, if it has all of its messages.
    pub(crate) remaining: Option<u64>,
}

impl Core {
    /// A client asks for messages.
    pub(crate) fn pull(&mut self, key: &ConsumerKey, reply: &str, body: &[u8]) {
        let now = self.now.elapsed;
        let request = match PullRequest::read(body) {
            Ok(request) => request,
            Err(reason) => {
                self.say_code(reply, 400, &format!("Bad Request - {reason}"));
                return;
            }
        };
        // What nobody waits for any more takes no place in line.
        self.drop_unheard(key);
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        consumer.idle_since = now;
        if let Some((code, text)) = consumer.refuses(&request) {
            // A client that gets signs of life notices by their absence; an answer would make it ask again at
            // once.
            if text != "Exceeded MaxWaiting" || request.heartbeat <= 0 {
                self.say_code(reply, code, &text);
            }
            return;
        }
        consumer
            .waiting
            .push_back(Waiting::new(&request, reply.to_owned(), now));
        self.wake(key.clone());
    }

    /// Takes the next request that can have a message of `size` bytes.
    pub(crate) fn next_waiting(&mut self, key: &ConsumerKey, size: usize) -> Option<Taken> {
        loop {
            let now = self.now.elapsed;
            let mut waiting = self.consumer(key)?.waiting.pop_front()?;
            if !self.wire.router.has_interest(&waiting.reply) {
                continue;
            }
            if waiting.bytes.is_some_and(|bytes| bytes < size as u64) {
                let text = "Message Size Exceeds MaxBytes";
                self.say_status(&waiting.reply, pending(409, text, &waiting));
                continue;
            }
            waiting.left -= 1;
            waiting.got += 1;
            waiting.bytes = waiting.bytes.map(|bytes| bytes - size as u64);
            if waiting.bytes == Some(0) {
                waiting.left = 0;
            }
            let reply = waiting.reply.clone();
            let mut remaining = waiting.bytes.filter(|bytes| *bytes > 0);
            if waiting.left > 0 {
                remaining = None;
                if waiting.wants_heartbeats() {
                    waiting.show_life(now);
                }
                self.consumer(key)?.waiting.push_back(waiting);
            }
            return Some(Taken { reply, remaining });
        }
    }

    /// Ends requests that waited long enough, shows life, and notes who is still there.
    pub(crate) fn look_after_clients(&mut self, key: &ConsumerKey) {
        match self.consumer(key).map(|consumer| consumer.is_push()) {
            Some(true) => self.look_after_listeners(key),
            Some(false) => self.look_after_requests(key),
            None => {}
        }
    }

    fn look_after_listeners(&mut self, key: &ConsumerKey) {
        let now = self.now.elapsed;
        let Some(stream) = self.streams.get_mut(&key.stream) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&*key.consumer) else {
            return;
        };
        let Some(deliver) = consumer.config.deliver_subject.clone() else {
            return;
        };
        let group = consumer.config.deliver_group.as_deref();
        let active = self.wire.router.has_interest_of(&deliver, group);
        if consumer.active && !active {
            consumer.idle_since = now;
        }
        consumer.active = active;
        if !active || consumer.config.idle_heartbeat.is_zero() {
            consumer.heartbeat_due = None;
            return;
        }
        let next = now + consumer.config.idle_heartbeat;
        let due = consumer.heartbeat_due.is_some_and(|due| due <= now);
        if due || consumer.heartbeat_due.is_none() {
            consumer.heartbeat_due = Some(next);
        }
        if due {
            let headers = heartbeat(consumer);
            self.say_status(&deliver, headers);
        }
    }

    fn look_after_requests(&mut self, key: &ConsumerKey) {
        let now = self.now.elapsed;
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        if consumer
            .waiting
            .iter()
            .all(|waiting| waiting.next_due().is_none_or(|due| due > now))
        {
            return;
        }
        let sign = heartbeat(consumer);
        let mut said = Vec::new();
        consumer.waiting.retain_mut(|waiting| {
            if waiting.expires.is_some_and(|expires| expires <= now) {
                said.push((
                    waiting.reply.clone(),
                    pending(408, "Request Timeout", waiting),
                ));
                return false;
            }
            if waiting.heartbeat_due.is_some_and(|due| due <= now) {
                said.push((waiting.reply.clone(), sign.clone()));
                waiting.show_life(now);
            }
            true
        });
        consumer.idle_since = now;
        for (reply, headers) in said {
            self.say_status(&reply, headers);
        }
    }

    /// Ends the requests that do not wait for what is not there yet.
    pub(crate) fn end_of_stream(&mut self, key: &ConsumerKey) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&key.stream) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&*key.consumer) else {
            return;
        };
        let impatient =
            |waiting: &Waiting| waiting.no_wait && (waiting.expires.is_none() || waiting.got > 0);
        if !consumer.waiting.iter().any(impatient)
            || consumer.next(&stream.log) == super::consumer::Next::Stalled
        {
            return;
        }
        let mut ended = Vec::new();
        consumer.waiting.retain(|waiting| {
            let ends = impatient(waiting);
            ended.extend(ends.then(|| waiting.reply.clone()));
            !ends
        });
        consumer.idle_since = now.elapsed;
        for reply in ended {
            self.say_code(&reply, 404, "No Messages");
        }
    }

    /// Forgets requests that nobody listens for any more.
    pub(crate) fn drop_unheard(&mut self, key: &ConsumerKey) {
        let now = self.now.elapsed;
        let Some(stream) = self.streams.get_mut(&key.stream) else {
            return;
        };
        let Some(consumer) = stream.consumers.get_mut(&*key.consumer) else {
            return;
        };
        let before = consumer.waiting.len();
        let router = &self.wire.router;
        consumer
            .waiting
            .retain(|waiting| router.has_interest(&waiting.reply));
        if consumer.waiting.len() < before {
            consumer.idle_since = now;
        }
    }

    /// Subscriptions with this pattern came or went.
    pub(crate) fn interest_changed(&mut self, pattern: &str) {
        let concerned = |consumer: &Consumer| match &consumer.config.deliver_subject {
            Some(deliver) => crate::subject::matches(pattern, deliver),
            None => consumer
                .waiting
                .iter()
                .any(|waiting| crate::subject::matches(pattern, &waiting.reply)),
        };
        let keys: Vec<ConsumerKey> = self
            .streams
            .values()
            .flat_map(|stream| stream.consumers.values())
            .filter(|consumer| concerned(consumer))
            .map(|consumer| consumer.key.clone())
            .collect();
        for key in keys {
            self.drop_unheard(&key);
            self.wake(key);
        }
    }
}

/// A status with what a request did not get.
fn pending(code: u16, text: &str, waiting: &Waiting) -> bytes::Bytes {
    Builder::status(code, text)
        .field("Nats-Pending-Messages", waiting.left)
        .field("Nats-Pending-Bytes", waiting.bytes.unwrap_or_default())
        .finish()
}

/// A sign of life, with where the consumer stands.
fn heartbeat(consumer: &Consumer) -> bytes::Bytes {
    let builder = headers::Builder::status(100, "Idle Heartbeat")
        .field("Nats-Last-Consumer", consumer.ledger.delivered().consumer)
        .field("Nats-Last-Stream", consumer.next - 1);
    match consumer.flow.open_question() {
        Some(subject) => builder.field("Nats-Consumer-Stalled", subject).finish(),
        None => builder.finish(),
    }
}
