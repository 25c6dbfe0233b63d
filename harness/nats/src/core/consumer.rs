//! A consumer: where it stands in its stream, what it has delivered, and who waits for more.

mod ledger;
mod pull;
mod push;
mod start;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use ledger::Ledger;
pub(crate) use pull::{PullRequest, Waiting};
pub(crate) use push::Flow;
pub(crate) use start::Skip;

use super::stream::{Log, wanted};
use crate::api::{AckPolicy, ConsumerConfig};
use crate::moment::Moment;

/// Which consumer of which stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerKey {
    /// The stream.
    pub(crate) stream: Arc<str>,
    /// The consumer.
    pub(crate) consumer: Arc<str>,
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// What it is called.
    pub(crate) key: ConsumerKey,
    /// Its configuration, checked.
    pub(crate) config: ConsumerConfig,
    /// The time of day at which it was created.
    pub(crate) created: Duration,
    /// The patterns of the subjects that it wants; all if there are none.
    pub(crate) filters: Vec<String>,
    /// No message before this sequence is to be delivered for the first time, except for those in `skip`.
    pub(crate) next: u64,
    /// Messages that come before `next` all the same: the last ones of their subjects.
    pub(crate) skip: Skip,
    /// How many messages are to be delivered for the first time.
    pub(crate) unseen: u64,
    /// What is delivered and not settled.
    pub(crate) ledger: Ledger,
    /// The messages of which a client said that it does not want them again.
    pub(crate) terminated: BTreeSet<u64>,
    /// The time of day of the last delivery.
    pub(crate) last_delivery: Option<Duration>,
    /// The time of day of the last settlement.
    pub(crate) last_settlement: Option<Duration>,
    /// The requests that wait for messages, in turn.
    pub(crate) waiting: VecDeque<Waiting>,
    /// What a client that confirms what it was pushed has not confirmed.
    pub(crate) flow: Flow,
    /// Whether somebody listens to the deliver subject.
    pub(crate) active: bool,
    /// Since when nobody used it.
    pub(crate) idle_since: Duration,
    /// When the next sign of life is pushed.
    pub(crate) heartbeat_due: Option<Duration>,
    /// Nothing is delivered before this moment.
    pub(crate) paused_until: Option<Duration>,
    /// The moment for which a timer runs.
    pub(crate) armed: Option<Duration>,
}

/// What a consumer would do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Deliver this message, for this time.
    Message {
        /// The sequence in the stream.
        sequence: u64,
        /// Which delivery it is, from 1.
        attempt: u64,
    },
    /// Give up a message that was delivered as often as it may be.
    Exhausted {
        /// The sequence in the stream.
        sequence: u64,
    },
    /// Wait until something is settled.
    Stalled,
    /// Wait for the next message.
    End,
}

impl Consumer {
    /// What comes next. It changes nothing that can be seen.
    pub(crate) fn next(&mut self, log: &Log) -> Next {
        while let Some(sequence) = self.ledger.next_again() {
            if self
                .max_deliver()
                .is_some_and(|max| self.ledger.attempts(sequence) >= max)
            {
                return Next::Exhausted { sequence };
            }
            if log.get(sequence).is_some() {
                let attempt = self.ledger.attempts(sequence) + 1;
                return Next::Message { sequence, attempt };
            }
            self.ledger.remove(sequence);
        }
        let max = self.config.max_ack_pending;
        if self.acknowledges() && max > 0 && self.ledger.leases().len() as i64 >= max {
            return Next::Stalled;
        }
        if let Some(sequence) = self.skip.first() {
            return Next::Message {
                sequence,
                attempt: 1,
            };
        }
        match log.next_of(&self.filters, self.next) {
            Some((sequence, _)) => {
                // What was passed over is not looked at again.
                self.next = sequence;
                Next::Message {
                    sequence,
                    attempt: 1,
                }
            }
            None => {
                self.next = self.next.max(log.last() + 1);
                Next::End
            }
        }
    }

    /// Counts a message as seen that [`Consumer::next`] gave as a first delivery.
    pub(crate) fn see(&mut self, sequence: u64) {
        self.unseen = self.unseen.saturating_sub(1);
        if !self.skip.take(sequence) {
            self.next = sequence + 1;
        }
    }

    /// Counts a message that was stored, if it is wanted. Returns whether it is.
    pub(crate) fn message_came(&mut self, sequence: u64, subject: &str) -> bool {
        let wanted = wanted(&self.filters, subject);
        if wanted && sequence >= self.next {
            self.unseen += 1;
        }
        wanted
    }

    /// Forgets a message that left the stream.
    pub(crate) fn message_left(&mut self, sequence: u64, subject: &str) {
        let to_come = sequence >= self.next && wanted(&self.filters, subject);
        if self.skip.take(sequence) || to_come {
            self.unseen = self.unseen.saturating_sub(1);
        }
        self.ledger.remove(sequence);
    }

    /// Passes over all before `first`, which have left the stream.
    pub(crate) fn skip_to(&mut self, first: u64) {
        if self.next < first {
            self.next = first;
        }
        self.ledger.purge_through(first - 1);
    }

    /// Whether a stream that keeps what is wanted has to keep this message for this consumer.
    pub(crate) fn needs(&self, sequence: u64, subject: &str) -> bool {
        if !wanted(&self.filters, subject) {
            return false;
        }
        let ahead = sequence > self.ledger.floor().stream;
        let unsettled = match self.config.ack_policy {
            AckPolicy::None | AckPolicy::All => ahead,
            AckPolicy::Explicit => {
                ahead && (sequence >= self.next || self.ledger.leases().contains_key(&sequence))
            }
        };
        // A message that was given up stays, so that somebody can look at it.
        unsettled || self.ledger.is_counted(sequence)
    }

    /// How often a message is delivered at most, if there is a limit.
    pub(crate) fn max_deliver(&self) -> Option<u64> {
        u64::try_from(self.config.max_deliver)
            .ok()
            .filter(|max| *max > 0)
    }

    /// Whether messages have to be settled.
    pub(crate) fn acknowledges(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
    }

    /// Whether messages are pushed to a subject.
    pub(crate) fn is_push(&self) -> bool {
        self.config.deliver_subject.is_some()
    }

    /// Whether nothing is delivered for now.
    pub(crate) fn is_paused(&self, now: Moment) -> bool {
        self.paused_until.is_some_and(|until| now.elapsed < until)
    }

    /// Whether there is somebody to deliver to.
    pub(crate) fn has_taker(&self) -> bool {
        match self.is_push() {
            true => self.active && !self.flow.is_full(),
            false => !self.waiting.is_empty(),
        }
    }

    /// When it will have been without use for so long that it is deleted.
    pub(crate) fn abandoned_at(&self) -> Option<Duration> {
        let used = if self.is_push() {
            self.active
        } else {
            !self.waiting.is_empty()
        };
        match used {
            true => None,
            false => Some(self.config.inactive_threshold)
                .filter(|threshold| !threshold.is_zero())
                .map(|threshold| self.idle_since + threshold),
        }
    }

    /// The next moment at which something is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let waiting = self.waiting.iter().filter_map(Waiting::next_due);
        [
            self.ledger.next_expiry(),
            self.heartbeat_due,
            self.paused_until,
            self.abandoned_at(),
        ]
        .into_iter()
        .flatten()
        .chain(waiting)
        .min()
    }

    /// Whether everything that the stream has for it is delivered and settled.
    pub(crate) fn is_done(&self) -> bool {
        self.unseen == 0 && self.ledger.leases().is_empty()
    }

    /// Forgets what a process knows of its clients. What is unsettled stays so, and its lease runs on.
    pub(crate) fn restart(&mut self, now: Duration) {
        self.waiting.clear();
        self.flow = Flow::new(self.config.flow_control);
        self.active = false;
        self.idle_since = now;
        self.heartbeat_due = None;
        self.armed = None;
    }
}
