//! Streams and consumers come and go, and messages grow old.

use std::sync::Arc;

use super::consumer::ConsumerKey;
use super::timers::Due;
use super::{Consumer, Core, Stream};
use crate::api::{ConsumerConfig, Retention, StreamConfig};
use crate::headers::{self, Builder};
use crate::moment;
use crate::protocol::Publish;
use crate::witness::{Answer, Client, Event};

impl Core {
    /// Adds a stream. `config` is checked, and its name is free.
    pub(crate) fn create_stream(&mut self, client: &Client, config: StreamConfig) -> Arc<str> {
        let stream = Stream::new(config, self.now.wall);
        let name = stream.name.clone();
        self.streams.insert(name.clone(), stream);
        self.witness
            .happened(Some(client), &Event::StreamCreated { stream: &name });
        self.advise_stream(&name, "create");
        name
    }

    /// Deletes a stream with its consumers.
    pub(crate) fn delete_stream(&mut self, client: &Client, name: &str) {
        let Some(stream) = self.streams.remove(name) else {
            return;
        };
        if let Some(at) = stream.armed {
            self.timers.disarm(at, &Due::Stream(stream.name.clone()));
        }
        for (_, consumer) in stream.consumers {
            self.bury(Some(client), consumer);
        }
        self.witness
            .happened(Some(client), &Event::StreamDeleted { stream: name });
        self.advise_stream(name, "delete");
    }

    /// Adds a consumer. `config` is checked, and its name is free.
    pub(crate) fn create_consumer(
        &mut self,
        client: &Client,
        stream: &str,
        name: &str,
        config: ConsumerConfig,
    ) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(stream) else {
            return;
        };
        let consumer = Consumer::new(stream, name, config, now);
        let key = consumer.key.clone();
        stream.consumers.insert(name.to_owned(), consumer);
        let event = Event::ConsumerCreated {
            stream: &key.stream,
            consumer: &key.consumer,
        };
        self.witness.happened(Some(client), &event);
        self.advise_consumer(&key, "create");
        self.wake(key);
    }

    /// Deletes a consumer, on behalf of a client or because nobody used it. Returns whether it was there.
    pub(crate) fn delete_consumer(&mut self, client: Option<&Client>, key: &ConsumerKey) -> bool {
        let Some(stream) = self.streams.get_mut(&key.stream) else {
            return false;
        };
        let Some(consumer) = stream.consumers.remove(&*key.consumer) else {
            return false;
        };
        let unwanted: Vec<u64> = match stream.config.retention {
            Retention::Interest => stream.log.iter().map(|(sequence, _)| sequence).collect(),
            _ => Vec::new(),
        };
        self.done_with(key, &unwanted);
        self.bury(client, consumer);
        true
    }

    /// Tells of the end of a consumer that was taken out.
    fn bury(&mut self, client: Option<&Client>, consumer: Consumer) {
        if let Some(at) = consumer.armed {
            self.timers.disarm(at, &Due::Consumer(consumer.key.clone()));
        }
        for waiting in &consumer.waiting {
            self.say_code(&waiting.reply, 409, "Consumer Deleted");
        }
        let key = &consumer.key;
        let event = Event::ConsumerDeleted {
            stream: &key.stream,
            consumer: &key.consumer,
        };
        self.witness.happened(client, &event);
        self.advise_consumer(key, "delete");
    }

    /// Lets the timer of a consumer run for what is due next, or deletes it if nobody used it for too long.
    pub(crate) fn arm_consumer(&mut self, key: &ConsumerKey) {
        let now = self.now.elapsed;
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        if consumer.paused_until.is_some_and(|until| until <= now) {
            consumer.paused_until = None;
        }
        if consumer.abandoned_at().is_some_and(|at| at <= now) {
            self.delete_consumer(None, key);
            return;
        }
        let (due, armed) = (consumer.next_due(), consumer.armed);
        if due == armed {
            return;
        }
        consumer.armed = due;
        if let Some(at) = armed {
            self.timers.disarm(at, &Due::Consumer(key.clone()));
        }
        if let Some(at) = due {
            self.timers.arm(at, Due::Consumer(key.clone()));
        }
    }

    /// Notes that the timer of a consumer ran out.
    pub(crate) fn disarm(&mut self, key: &ConsumerKey) {
        if let Some(consumer) = self.consumer(key) {
            consumer.armed = None;
        }
    }

    /// Lets the timer of a stream run for the next message that becomes too old.
    pub(crate) fn arm_stream(&mut self, name: &Arc<str>) {
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        let (due, armed) = (stream.next_due(), stream.armed);
        if due == armed {
            return;
        }
        stream.armed = due;
        if let Some(at) = armed {
            self.timers.disarm(at, &Due::Stream(name.clone()));
        }
        if let Some(at) = due {
            self.timers.arm(at, Due::Stream(name.clone()));
        }
    }

    /// Takes out the messages of a stream that are too old.
    pub(crate) fn expire_messages(&mut self, name: &Arc<str>) {
        let now = self.now.elapsed;
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        if stream.armed.is_some_and(|at| at <= now) {
            stream.armed = None;
        }
        let marked = !stream.config.subject_delete_marker_ttl.is_zero();
        let mut orphans = Vec::new();
        let mut markers = Vec::new();
        for sequence in stream.log.expired(stream.config.max_age, now) {
            let Some(stored) = stream.remove(sequence, &mut orphans) else {
                continue;
            };
            if marked
                && !is_marker(&stored.headers)
                && stream.log.last_of(&stored.subject).is_none()
            {
                markers.push(marker(&stream.config, stored.subject));
            }
        }
        for marker in markers {
            self.store(None, name, marker, Answer::Never);
        }
        self.report_orphans(name, &orphans);
        self.arm_stream(name);
    }
}

/// Whether a message is itself a note that its subject has none any more.
fn is_marker(headers: &[u8]) -> bool {
    headers::get(headers, "Nats-Marker-Reason").is_some()
        || headers::get(headers, "KV-Operation") == Some("PURGE")
}

/// A note that the last message of a subject left by its age.
fn marker(config: &StreamConfig, subject: String) -> Publish {
    let ttl = moment::span(config.subject_delete_marker_ttl);
    let headers = Builder::over(&[])
        .field("Nats-Marker-Reason", "MaxAge")
        .field("Nats-TTL", ttl)
        .field("Nats-Rollup", "sub")
        .finish();
    Publish {
        subject,
        headers,
        ..Publish::default()
    }
}
