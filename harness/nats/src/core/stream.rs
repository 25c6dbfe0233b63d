//! A stream: its messages, the ids that it has seen, and its consumers.

mod dedup;
mod log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use dedup::Seen;
pub(crate) use log::{Log, Stored, wanted};

use super::consumer::Consumer;
use crate::api::{Retention, StreamConfig};

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its configuration, checked.
    pub(crate) config: StreamConfig,
    /// The time of day at which it was created.
    pub(crate) created: Duration,
    /// Its messages.
    pub(crate) log: Log,
    /// The ids that it has seen lately.
    pub(crate) seen: Seen,
    /// The id of the message that was stored last.
    pub(crate) last_id: Option<String>,
    /// Its consumers by name.
    pub(crate) consumers: BTreeMap<String, Consumer>,
    /// The moment for which a timer runs.
    pub(crate) armed: Option<Duration>,
}

/// A message that a consumer had delivered and not settled when it left the stream.
#[derive(Debug)]
pub(crate) struct Orphan {
    /// The consumer.
    pub(crate) consumer: Arc<str>,
    /// The number of its first delivery.
    pub(crate) delivery: u64,
    /// The sequence in the stream.
    pub(crate) sequence: u64,
    /// How often it was delivered.
    pub(crate) attempts: u64,
}

impl Stream {
    /// An empty stream. `config` is checked.
    pub(crate) fn new(config: StreamConfig, created: Duration) -> Self {
        Self {
            name: config.name.as_str().into(),
            log: Log::new(config.first_seq, config.storage),
            config,
            created,
            seen: Seen::default(),
            last_id: None,
            consumers: BTreeMap::new(),
            armed: None,
        }
    }

    /// Takes a message out. Returns it, and adds the consumers that had it unsettled to `orphans`.
    pub(crate) fn remove(&mut self, sequence: u64, orphans: &mut Vec<Orphan>) -> Option<Stored> {
        let stored = self.log.remove(sequence)?;
        for consumer in self.consumers.values_mut() {
            let attempts = consumer.ledger.attempts(sequence);
            let delivery = consumer
                .ledger
                .leases()
                .get(&sequence)
                .map(|lease| lease.delivery);
            consumer.message_left(sequence, &stored.subject);
            if let Some(delivery) = delivery {
                orphans.push(Orphan {
                    consumer: consumer.key.consumer.clone(),
                    delivery,
                    sequence,
                    attempts,
                });
            }
        }
        Some(stored)
    }

    /// Takes out what `subject`, or all, have before the sequence `before`, except for the last `keep`.
    /// Returns how many that were. No consumer is told that messages it had left, only that there are no
    /// more.
    pub(crate) fn purge(&mut self, subject: Option<&str>, before: Option<u64>, keep: u64) -> u64 {
        let mut gone: Vec<u64> = match subject {
            Some(pattern) => self
                .log
                .subjects(pattern)
                .flat_map(|(_, sequences)| sequences.iter().copied())
                .collect(),
            None => self.log.iter().map(|(sequence, _)| sequence).collect(),
        };
        gone.sort_unstable();
        gone.retain(|sequence| before.is_none_or(|before| *sequence < before));
        gone.truncate(gone.len().saturating_sub(keep as usize));
        let mut orphans = Vec::new();
        for sequence in &gone {
            self.remove(*sequence, &mut orphans);
        }
        if subject.is_none() {
            let first = self.log.first().max(1);
            for consumer in self.consumers.values_mut() {
                consumer.skip_to(first);
            }
        }
        gone.len() as u64
    }

    /// Passes over sequences that were not given yet, so that the next one is at least `first`.
    pub(crate) fn begin_at(&mut self, first: u64) {
        if first > self.log.last() + 1 {
            self.log.begin_at(first);
            for consumer in self.consumers.values_mut() {
                consumer.skip_to(first);
            }
        }
    }

    /// Whether a message that was settled by a consumer may leave.
    pub(crate) fn is_done_with(&self, sequence: u64) -> bool {
        match self.config.retention {
            Retention::Limits => false,
            Retention::WorkQueue => true,
            Retention::Interest => self.log.get(sequence).is_some_and(|stored| {
                !self
                    .consumers
                    .values()
                    .any(|consumer| consumer.needs(sequence, &stored.subject))
            }),
        }
    }

    /// Whether any consumer wants messages with this subject.
    pub(crate) fn has_interest(&self, subject: &str) -> bool {
        self.consumers
            .values()
            .any(|consumer| wanted(&consumer.filters, subject))
    }

    /// When the next message becomes too old.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.log.next_expiry(self.config.max_age)
    }
}
