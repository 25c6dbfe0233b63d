//! A client settles a message that it got.
//!
//! Rules: <https://docs.nats.io/using-nats/developer/develop_jetstream/consumers#acknowledgement-models>.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::consumer::ConsumerKey;
use super::timers::Later;
use super::{Core, publish};
use crate::api::{AckPolicy, Retention};
use crate::protocol::Publish;
use crate::witness::{Answer, Client, Fate, Request, Settle, SettleOutcome, Settlement};

/// A settlement as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Settling {
    key: ConsumerKey,
    sequence: u64,
    delivery: u64,
    attempt: u64,
    settlement: Settlement,
    reply: Option<String>,
    /// What comes with a request for the next message.
    next: Bytes,
}

impl Core {
    /// Asks the witness what becomes of a settlement, and does it. Returns whether such a consumer is there.
    pub(crate) fn offer_settlement(&mut self, client: &Arc<Client>, message: &Publish) -> bool {
        let Some(settling) = read(message) else {
            return false;
        };
        if self.consumer(&settling.key).is_none() {
            return false;
        }
        let Fate { request, answer } = self.witness.before_settlement(client, &settle(&settling));
        match request {
            Request::Proceed => self.apply_settlement(client, &settling, answer),
            Request::Twice => {
                self.apply_settlement(client, &settling, answer);
                self.apply_settlement(client, &settling, Answer::Never);
            }
            Request::Delay(span) => self.put_off(
                span,
                Later::Settle {
                    client: client.clone(),
                    settling,
                    answer,
                },
            ),
            Request::Lose | Request::Refuse(_) => {}
        }
        true
    }

    /// Settles a message, and answers.
    pub(crate) fn apply_settlement(
        &mut self,
        client: &Arc<Client>,
        settling: &Settling,
        answer: Answer,
    ) {
        let Some((outcome, answered)) = self.take_settlement(settling) else {
            return;
        };
        self.witness.settled(client, &settle(settling), outcome);
        match (&settling.reply, &settling.settlement) {
            (Some(reply), Settlement::Next) => self.pull(&settling.key, reply, &settling.next),
            (Some(reply), _) if answered => {
                let message = Publish {
                    subject: reply.clone(),
                    ..Publish::default()
                };
                self.send_answer(message, answer);
            }
            _ => {}
        }
        self.wake(settling.key.clone());
    }

    /// Returns what a settlement did, and whether it is answered. Nothing if its consumer is gone.
    fn take_settlement(&mut self, settling: &Settling) -> Option<(SettleOutcome, bool)> {
        let now = self.now;
        let retention = self.streams.get(&settling.key.stream)?.config.retention;
        let consumer = self.consumer(&settling.key)?;
        let sequence = settling.sequence;
        let accepted = |accepted| match accepted {
            true => SettleOutcome::Accepted,
            false => SettleOutcome::Stale,
        };
        match &settling.settlement {
            Settlement::Nak(delay) => {
                let floor = consumer.ledger.floor().consumer;
                let delivered = consumer.ledger.delivered().consumer;
                let known = settling.delivery > floor && settling.delivery <= delivered;
                let taken = known && self.put_back(settling, *delay);
                return Some((accepted(taken), true));
            }
            Settlement::Progress => {
                let lease = consumer
                    .config
                    .lease(consumer.ledger.attempts(sequence) - 1);
                let taken = consumer.ledger.extend(sequence, now.elapsed + lease, true);
                return Some((accepted(taken), true));
            }
            Settlement::Ack | Settlement::Next | Settlement::Term(_) => {}
        }
        if sequence > consumer.ledger.delivered().stream {
            return Some((SettleOutcome::Stale, false));
        }
        let settled = match consumer.config.ack_policy {
            AckPolicy::Explicit => {
                let held = consumer.ledger.settle(sequence);
                // A late settlement of a message that was given up still takes it from the stream.
                self.done_with(&settling.key, &[sequence]);
                held
            }
            AckPolicy::All => {
                let settled = consumer.ledger.settle_through(sequence, settling.delivery);
                self.done_with(&settling.key, &settled);
                !settled.is_empty()
            }
            AckPolicy::None => {
                self.done_with(&settling.key, &[sequence]);
                return Some((SettleOutcome::Stale, retention != Retention::Limits));
            }
        };
        if let Some(consumer) = self.consumer(&settling.key) {
            consumer.last_settlement = Some(now.wall);
            if settled && matches!(settling.settlement, Settlement::Term(_)) {
                consumer.terminated.insert(sequence);
            }
        }
        if let Settlement::Term(reason) = &settling.settlement {
            self.advise_terminated(
                &settling.key,
                sequence,
                settling.delivery,
                settling.attempt,
                reason,
            );
        }
        Some((accepted(settled), true))
    }

    /// Puts a message back that is not settled, for now or for later. Returns whether it is unsettled at all.
    fn put_back(&mut self, settling: &Settling, delay: Duration) -> bool {
        let now = self.now.elapsed;
        let Some(consumer) = self.consumer(&settling.key) else {
            return false;
        };
        if delay.is_zero() {
            return consumer.ledger.again(settling.sequence);
        }
        // The product sets the beginning of the lease so that the first of the backoffs would end after the
        // delay. With a later one the delay is longer by the difference.
        let redeliveries = consumer.ledger.attempts(settling.sequence) - 1;
        let longer = consumer
            .config
            .lease(redeliveries)
            .saturating_sub(consumer.config.ack_wait);
        consumer
            .ledger
            .extend(settling.sequence, now + delay + longer, false)
    }

    /// Takes messages from their stream that this was the last consumer to settle.
    pub(crate) fn done_with(&mut self, key: &ConsumerKey, sequences: &[u64]) {
        let Some(stream) = self.streams.get_mut(&key.stream) else {
            return;
        };
        if stream.config.retention == Retention::Limits {
            return;
        }
        let mut orphans = Vec::new();
        for sequence in sequences {
            if stream.is_done_with(*sequence) {
                stream.remove(*sequence, &mut orphans);
            }
        }
        self.report_orphans(&key.stream, &orphans);
        self.arm_stream(&key.stream);
    }
}

fn settle(settling: &Settling) -> Settle<'_> {
    Settle {
        stream: &settling.key.stream,
        consumer: &settling.key.consumer,
        sequence: settling.sequence,
        attempt: settling.attempt,
        settlement: &settling.settlement,
        confirmed: settling.reply.is_some(),
    }
}

/// Reads a settlement: the message is named by the subject, what is said of it by the payload.
fn read(message: &Publish) -> Option<Settling> {
    let tokens: Vec<&str> = message.subject.split('.').collect();
    let [_, _, stream, consumer, attempt, sequence, delivery, ..] = tokens[..] else {
        return None;
    };
    let (settlement, next) = read_payload(&message.payload)?;
    Some(Settling {
        key: ConsumerKey {
            stream: stream.into(),
            consumer: consumer.into(),
        },
        sequence: sequence.parse().ok()?,
        delivery: delivery.parse().ok()?,
        attempt: attempt.parse().ok()?,
        settlement,
        reply: message.reply.clone(),
        next: message.payload.slice(next..),
    })
}

/// Reads what is said of a message, and how much of the payload says it.
fn read_payload(payload: &[u8]) -> Option<(Settlement, usize)> {
    let text = std::str::from_utf8(payload).ok()?;
    let whole = payload.len();
    if matches!(text, "" | "+ACK" | "+OK") {
        return Some((Settlement::Ack, whole));
    }
    if text == "+WPI" {
        return Some((Settlement::Progress, whole));
    }
    if text.starts_with("+NXT") {
        return Some((Settlement::Next, "+NXT".len()));
    }
    if let Some(rest) = text.strip_prefix("-NAK") {
        return Some((Settlement::Nak(read_delay(rest.trim())), whole));
    }
    let reason = text.strip_prefix("+TERM")?;
    Some((Settlement::Term(reason.trim().to_owned()), whole))
}

/// Reads the delay of a negative settlement. What cannot be read is no delay.
fn read_delay(text: &str) -> Duration {
    if !text.starts_with('{') {
        return publish::units(text).unwrap_or_default();
    }
    let fields: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    fields["delay"]
        .as_u64()
        .map(Duration::from_nanos)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_message_is_read() {
        for (payload, expected) in [
            ("", Settlement::Ack),
            ("+ACK", Settlement::Ack),
            ("+OK", Settlement::Ack),
            ("-NAK", Settlement::Nak(Duration::ZERO)),
            (
                "-NAK {\"delay\": 2000000000}",
                Settlement::Nak(Duration::from_secs(2)),
            ),
            (
                "-NAK 1m1.5s",
                Settlement::Nak(Duration::from_millis(61_500)),
            ),
            ("-NAK soon", Settlement::Nak(Duration::ZERO)),
            ("+WPI", Settlement::Progress),
            ("+NXT 5", Settlement::Next),
            ("+TERM", Settlement::Term(String::new())),
            ("+TERM no use", Settlement::Term("no use".to_owned())),
        ] {
            assert_eq!(
                read_payload(payload.as_bytes()).unwrap().0,
                expected,
                "{payload}"
            );
        }
        assert_eq!(read_payload(b"hello"), None);
    }
}
