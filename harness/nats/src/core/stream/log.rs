//! The messages of a stream in the order of their sequences, and by subject.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::api::{Discard, Storage, StreamConfig};
use crate::moment::Moment;
use crate::subject;

/// A message that a stream holds.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its subject.
    pub(crate) subject: String,
    /// The block of headers as it stands on the wire, or nothing.
    pub(crate) headers: Bytes,
    /// The payload.
    pub(crate) payload: Bytes,
    /// When it was stored.
    pub(crate) time: Moment,
    /// When it leaves by itself, if it says so.
    pub(crate) expires: Option<Duration>,
    /// Whether it leaves by the age that the stream allows. A message may say that it never does.
    pub(crate) ages: bool,
}

/// The messages of a stream.
#[derive(Debug)]
pub(crate) struct Log {
    messages: BTreeMap<u64, Stored>,
    by_subject: BTreeMap<String, BTreeSet<u64>>,
    /// When messages leave that say so themselves.
    expiries: BTreeSet<(Duration, u64)>,
    /// The sequence that was given last.
    last: u64,
    /// When the message with the last sequence was stored.
    last_time: Duration,
    /// The first sequence, if nothing is there.
    first_of_none: u64,
    bytes: u64,
    storage: Storage,
}

impl Log {
    /// An empty log whose first message will have the sequence `first`.
    pub(crate) fn new(first: u64, storage: Storage) -> Self {
        let last = first.max(1) - 1;
        Self {
            messages: BTreeMap::new(),
            by_subject: BTreeMap::new(),
            expiries: BTreeSet::new(),
            last,
            last_time: Duration::ZERO,
            // A stream that never had a message has its first at 0, unless it was told where to begin.
            first_of_none: if first > 1 { first } else { 0 },
            bytes: 0,
            storage,
        }
    }

    /// The message with this sequence.
    pub(crate) fn get(&self, sequence: u64) -> Option<&Stored> {
        self.messages.get(&sequence)
    }

    /// All messages in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Stored)> {
        self.messages
            .iter()
            .map(|(sequence, stored)| (*sequence, stored))
    }

    /// The sequence of the first message; if there is none, where the next will be, or 0 if there never was
    /// one.
    pub(crate) fn first(&self) -> u64 {
        self.messages
            .first_key_value()
            .map_or(self.first_of_none, |(sequence, _)| *sequence)
    }

    /// The sequence that was given last.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The time of day at which the sequence that was given last was stored.
    pub(crate) fn last_time(&self) -> Duration {
        self.last_time
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    /// How many bytes they take, with what a store of the product needs for each.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many messages each subject has that `pattern` stands for.
    pub(crate) fn subjects<'a>(
        &'a self,
        pattern: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a BTreeSet<u64>)> {
        self.by_subject
            .iter()
            .filter(move |(subject, _)| subject::matches(pattern, subject))
            .map(|(subject, sequences)| (subject.as_str(), sequences))
    }

    /// How many subjects there are.
    pub(crate) fn subjects_len(&self) -> usize {
        self.by_subject.len()
    }

    /// The sequence of the last message whose subject `pattern` stands for.
    pub(crate) fn last_of(&self, pattern: &str) -> Option<u64> {
        if subject::is_literal(pattern) {
            return self.by_subject.get(pattern)?.last().copied();
        }
        self.subjects(pattern)
            .filter_map(|(_, sequences)| sequences.last().copied())
            .max()
    }

    /// The first message from `from` on whose subject one of `patterns` stands for, or any if there are none.
    pub(crate) fn next_of(&self, patterns: &[String], from: u64) -> Option<(u64, &Stored)> {
        if let [pattern] = patterns
            && subject::is_literal(pattern)
        {
            let sequence = *self.by_subject.get(pattern)?.range(from..).next()?;
            return Some((sequence, &self.messages[&sequence]));
        }
        self.messages
            .range(from..)
            .find(|(_, stored)| wanted(patterns, &stored.subject))
            .map(|(sequence, stored)| (*sequence, stored))
    }

    /// How many messages there are from `from` on whose subject one of `patterns` stands for.
    pub(crate) fn count_of(&self, patterns: &[String], from: u64) -> u64 {
        self.messages
            .range(from..)
            .filter(|(_, stored)| wanted(patterns, &stored.subject))
            .count() as u64
    }

    /// The sequence of the first message that was stored at `wall` or later.
    pub(crate) fn since(&self, wall: Duration) -> u64 {
        self.messages
            .iter()
            .find(|(_, stored)| stored.time.wall >= wall)
            .map_or(self.last + 1, |(sequence, _)| *sequence)
    }

    /// Why there is no room for a message in a stream that refuses new ones. Nothing if there is.
    pub(crate) fn refuses(&self, config: &StreamConfig, message: &Stored) -> Option<&'static str> {
        if config.discard != Discard::New {
            return None;
        }
        let same = self.by_subject.get(&message.subject);
        let full = |same: &&BTreeSet<u64>| {
            config.max_msgs_per_subject > 0 && same.len() as i64 >= config.max_msgs_per_subject
        };
        // The oldest message of a subject that has its number makes room for the new one.
        let replaced = same.filter(full).and_then(|same| same.first());
        if replaced.is_some() && config.discard_new_per_subject {
            return Some("maximum messages per subject exceeded");
        }
        if config.max_msgs > 0 && self.len() as i64 >= config.max_msgs && replaced.is_none() {
            return Some("maximum messages exceeded");
        }
        let size = self.size(message);
        if config.max_bytes > 0 && (self.bytes + size) as i64 > config.max_bytes {
            let room = replaced.map_or(0, |sequence| self.size(&self.messages[sequence]));
            if room < size {
                return Some("maximum bytes exceeded");
            }
        }
        None
    }

    /// Adds a message and returns its sequence.
    pub(crate) fn append(&mut self, message: Stored) -> u64 {
        self.last += 1;
        self.last_time = message.time.wall;
        self.bytes += self.size(&message);
        self.by_subject
            .entry(message.subject.clone())
            .or_default()
            .insert(self.last);
        if let Some(expires) = message.expires {
            self.expiries.insert((expires, self.last));
        }
        self.messages.insert(self.last, message);
        self.last
    }

    /// Gives a sequence to a message that is not kept.
    pub(crate) fn skip(&mut self, wall: Duration) -> u64 {
        self.last += 1;
        self.last_time = wall;
        if self.messages.is_empty() {
            self.first_of_none = self.last + 1;
        }
        self.last
    }

    /// Passes over all sequences before `first`, none of which has a message.
    pub(crate) fn begin_at(&mut self, first: u64) {
        self.last = first - 1;
        self.first_of_none = first;
    }

    /// Takes a message out.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Stored> {
        let stored = self.messages.remove(&sequence)?;
        self.bytes -= self.size(&stored);
        if let Some(sequences) = self.by_subject.get_mut(&stored.subject) {
            sequences.remove(&sequence);
            if sequences.is_empty() {
                self.by_subject.remove(&stored.subject);
            }
        }
        if let Some(expires) = stored.expires {
            self.expiries.remove(&(expires, sequence));
        }
        if self.messages.is_empty() {
            self.first_of_none = self.last + 1;
        }
        Some(stored)
    }

    /// The sequences that the limits of `config` leave no room for.
    pub(crate) fn beyond(&self, config: &StreamConfig, subject: &str) -> Vec<u64> {
        let mut out = Vec::new();
        if config.max_msgs_per_subject > 0
            && let Some(same) = self.by_subject.get(subject)
        {
            let excess = same
                .len()
                .saturating_sub(config.max_msgs_per_subject as usize);
            out.extend(same.iter().take(excess));
        }
        let (mut count, mut bytes) = (self.len() - out.len() as u64, self.bytes);
        for sequence in &out {
            bytes -= self.size(&self.messages[sequence]);
        }
        for (sequence, stored) in &self.messages {
            let many = config.max_msgs > 0 && count as i64 > config.max_msgs;
            let large = config.max_bytes > 0 && bytes as i64 > config.max_bytes;
            if !many && !large {
                break;
            }
            if !out.contains(sequence) {
                out.push(*sequence);
                count -= 1;
                bytes -= self.size(stored);
            }
        }
        out
    }

    /// The sequences that are too old at `now`.
    pub(crate) fn expired(&self, max_age: Duration, now: Duration) -> Vec<u64> {
        let mut out: Vec<u64> = match max_age.is_zero() {
            true => Vec::new(),
            false => self
                .messages
                .iter()
                .take_while(|(_, stored)| stored.time.elapsed + max_age <= now)
                .filter(|(_, stored)| stored.ages)
                .map(|(sequence, _)| *sequence)
                .collect(),
        };
        let by_themselves = self.expiries.iter().take_while(|(at, _)| *at <= now);
        out.extend(by_themselves.map(|(_, sequence)| *sequence));
        out.sort_unstable();
        out.dedup();
        out
    }

    /// When the next message becomes too old.
    pub(crate) fn next_expiry(&self, max_age: Duration) -> Option<Duration> {
        let mut aging = self.messages.values().filter(|stored| stored.ages);
        let oldest = aging.next().filter(|_| !max_age.is_zero());
        let by_age = oldest.map(|stored| stored.time.elapsed + max_age);
        let by_themselves = self.expiries.first().map(|(at, _)| *at);
        by_age.into_iter().chain(by_themselves).min()
    }

    /// What a store of the product needs for a message.
    fn size(&self, message: &Stored) -> u64 {
        let content = message.subject.len() + message.headers.len() + message.payload.len();
        let overhead = match (self.storage, message.headers.is_empty()) {
            (Storage::Memory, _) => 16,
            (Storage::File, true) => 30,
            (Storage::File, false) => 34,
        };
        (content + overhead) as u64
    }
}

/// Whether one of `patterns` stands for `subject`. No pattern stands for all.
pub(crate) fn wanted(patterns: &[String], subject: &str) -> bool {
    patterns.is_empty()
        || patterns
            .iter()
            .any(|pattern| subject::matches(pattern, subject))
}
