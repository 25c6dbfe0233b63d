//! Gives a consumer's messages to those who wait for them.

use std::sync::Arc;

use bytes::Bytes;

use super::consumer::{ConsumerKey, Next};
use super::timers::Later;
use super::{Core, Stored};
use crate::headers::Builder;
use crate::protocol::{Publish, Shown};
use crate::witness::{Client, Delivery, DeliveryFate, Event};

/// A message that is about to be delivered.
struct Parcel {
    sequence: u64,
    attempt: u64,
    stored: Stored,
    shown: Shown,
}

impl Core {
    /// Does all that a consumer can do now.
    pub(crate) fn pump(&mut self, key: &ConsumerKey) {
        self.expire_leases(key);
        self.look_after_clients(key);
        while self.deliver_next(key) {}
        self.end_of_stream(key);
        self.arm_consumer(key);
    }

    /// Delivers one message, or gives one up. Returns whether there may be more to do.
    fn deliver_next(&mut self, key: &ConsumerKey) -> bool {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&key.stream) else {
            return false;
        };
        let Some(consumer) = stream.consumers.get_mut(&*key.consumer) else {
            return false;
        };
        if consumer.is_paused(now) || !consumer.has_taker() {
            return false;
        }
        match consumer.next(&stream.log) {
            Next::End | Next::Stalled => false,
            Next::Exhausted { sequence } => {
                self.give_up(key, sequence);
                true
            }
            Next::Message { sequence, attempt } => match stream.log.get(sequence) {
                Some(stored) => {
                    let stored = stored.clone();
                    let parcel = self.wrap(key, sequence, attempt, stored);
                    self.hand_over(key, parcel)
                }
                None => {
                    consumer.message_left(sequence, "");
                    true
                }
            },
        }
    }

    /// Makes of a stored message what its receiver is shown.
    fn wrap(&mut self, key: &ConsumerKey, sequence: u64, attempt: u64, stored: Stored) -> Parcel {
        let mut shown = Shown {
            subject: stored.subject.clone(),
            reply: None,
            headers: stored.headers.clone(),
            payload: stored.payload.clone(),
        };
        if let Some(consumer) = self.consumer(key) {
            let delivery = consumer.ledger.delivered().consumer + 1;
            let left = consumer.unseen - u64::from(attempt == 1 && consumer.unseen > 0);
            shown.reply = Some(format!(
                "$JS.ACK.{}.{}.{attempt}.{sequence}.{delivery}.{}.{left}",
                key.stream,
                key.consumer,
                stored.time.wall.as_nanos()
            ));
            if consumer.config.headers_only {
                let size = shown.payload.len();
                shown.headers = Builder::over(&shown.headers)
                    .field("Nats-Msg-Size", size)
                    .finish();
                shown.payload = Bytes::new();
            }
        }
        Parcel {
            sequence,
            attempt,
            stored,
            shown,
        }
    }

    /// Gives a parcel to whoever is next. Returns whether somebody took it.
    fn hand_over(&mut self, key: &ConsumerKey, parcel: Parcel) -> bool {
        let shown = &parcel.shown;
        let reply_size = shown.reply.as_ref().map_or(0, String::len);
        let size = shown.subject.len() + reply_size + shown.headers.len() + shown.payload.len();
        let pushed_to = self
            .consumer(key)
            .and_then(|consumer| consumer.config.deliver_subject.clone());
        let (destination, remaining) = match pushed_to {
            Some(subject) => (subject, None),
            None => match self.next_waiting(key, size) {
                Some(taken) => (taken.reply, taken.remaining),
                None => return false,
            },
        };
        let recipients = self.wire.router.recipients(&destination, None);
        let client = recipients.first().and_then(|id| self.wire.client_of(*id));
        let fate = match &client {
            Some(client) => self
                .witness
                .before_delivery(client, &delivery(key, &parcel)),
            None => DeliveryFate::Deliver,
        };
        self.count_delivery(key, &parcel, client.clone());
        if let Some(client) = &client {
            self.witness.delivered(client, &delivery(key, &parcel));
        }
        let twice = fate == DeliveryFate::Twice;
        let sequence = parcel.sequence;
        self.dispatch(&destination, recipients, parcel, fate);
        if let Some(bytes) = remaining {
            let headers = Builder::status(409, "Batch Completed")
                .field("Nats-Pending-Messages", 0)
                .field("Nats-Pending-Bytes", bytes)
                .finish();
            self.say_status(&destination, headers);
        }
        self.ask_for_confirmation(key, size);
        if twice {
            self.expire_lease(key, sequence);
        }
        true
    }

    /// Notes a delivery where it counts.
    fn count_delivery(&mut self, key: &ConsumerKey, parcel: &Parcel, client: Option<Arc<Client>>) {
        let now = self.now;
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        let sequence = parcel.sequence;
        if parcel.attempt == 1 {
            consumer.see(sequence);
        }
        consumer.last_delivery = Some(now.wall);
        consumer.idle_since = now.elapsed;
        if consumer.is_push() && !consumer.config.idle_heartbeat.is_zero() {
            consumer.heartbeat_due = Some(now.elapsed + consumer.config.idle_heartbeat);
        }
        if consumer.acknowledges() {
            let expires = now.elapsed + consumer.config.lease(parcel.attempt - 1);
            consumer.ledger.deliver(sequence, expires, client);
        } else {
            consumer.ledger.deliver_settled(sequence);
            self.done_with(key, &[sequence]);
        }
    }

    /// Sends a parcel as its fate has it.
    fn dispatch(
        &mut self,
        destination: &str,
        recipients: Vec<u64>,
        parcel: Parcel,
        fate: DeliveryFate,
    ) {
        let mut shown = parcel.shown;
        match fate {
            DeliveryFate::Deliver | DeliveryFate::Twice => {}
            DeliveryFate::Corrupt(payload) => shown.payload = payload,
            DeliveryFate::Lose => return,
            DeliveryFate::Delay(span) => {
                self.put_off(span, Later::Deliver { recipients, shown });
                return;
            }
        }
        self.wire.send(&recipients, &shown);
        // A stream may store what another one's consumer is pushed.
        if let Some(stream) = self.stream_of(destination) {
            let message = Publish {
                subject: destination.to_owned(),
                reply: shown.reply,
                headers: shown.headers,
                payload: shown.payload,
            };
            self.store(None, &stream, message, crate::witness::Answer::Never);
        }
    }

    /// Asks a client that confirms what it was pushed to do so, if it is time.
    fn ask_for_confirmation(&mut self, key: &ConsumerKey, size: usize) {
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        let Some(deliver) = consumer.config.deliver_subject.clone() else {
            return;
        };
        if !consumer.flow.count(size) {
            return;
        }
        let token = self.new_name();
        let subject = format!("$JS.FC.{}.{}.{}", key.stream, key.consumer, &token[..4]);
        if let Some(consumer) = self.consumer(key) {
            consumer.flow.asked(subject.clone());
        }
        self.say(Publish {
            subject: deliver,
            reply: Some(subject),
            headers: crate::headers::status(100, "FlowControl Request"),
            payload: Bytes::new(),
        });
    }

    /// A client confirms what it was pushed. Returns whether such a consumer is there.
    pub(crate) fn confirm_flow(&mut self, message: &Publish) -> bool {
        let mut tokens = message.subject.split('.').skip(2);
        let (Some(stream), Some(name)) = (tokens.next(), tokens.next()) else {
            return false;
        };
        let key = ConsumerKey {
            stream: stream.into(),
            consumer: name.into(),
        };
        let Some(consumer) = self.consumer(&key) else {
            return false;
        };
        if consumer.flow.confirm(&message.subject) {
            self.wake(key);
        }
        true
    }

    /// Puts messages whose leases are over in line for another delivery, or gives them up.
    fn expire_leases(&mut self, key: &ConsumerKey) {
        let now = self.now.elapsed;
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        for sequence in consumer.ledger.expired(now) {
            self.expire_lease(key, sequence);
        }
    }

    fn expire_lease(&mut self, key: &ConsumerKey, sequence: u64) {
        let holder = self.holder(key, sequence);
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        if !consumer.ledger.leases().contains_key(&sequence) {
            return;
        }
        let attempt = consumer.ledger.attempts(sequence);
        let exhausted = consumer.max_deliver().is_some_and(|max| attempt >= max);
        if !exhausted {
            consumer.ledger.again(sequence);
        }
        let event = Event::LeaseExpired {
            stream: &key.stream,
            consumer: &key.consumer,
            sequence,
            attempt,
        };
        self.witness.happened(holder.as_deref(), &event);
        if exhausted {
            self.give_up(key, sequence);
        }
    }

    /// Gives up a message that was delivered as often as it may be.
    fn give_up(&mut self, key: &ConsumerKey, sequence: u64) {
        let holder = self.holder(key, sequence);
        let Some(consumer) = self.consumer(key) else {
            return;
        };
        let attempts = consumer.ledger.attempts(sequence);
        consumer.ledger.give_up(sequence);
        let event = Event::MaxDeliverReached {
            stream: &key.stream,
            consumer: &key.consumer,
            sequence,
            attempts,
        };
        self.witness.happened(holder.as_deref(), &event);
        self.advise_max_deliver(key, sequence, attempts);
    }
}

fn delivery<'a>(key: &'a ConsumerKey, parcel: &'a Parcel) -> Delivery<'a> {
    Delivery {
        stream: &key.stream,
        consumer: &key.consumer,
        sequence: parcel.sequence,
        attempt: parcel.attempt,
        subject: &parcel.stored.subject,
        headers: &parcel.stored.headers,
        payload: &parcel.stored.payload,
    }
}
