//! Where a consumer begins.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Consumer, ConsumerKey, Flow, Ledger};
use crate::api::{ConsumerConfig, DeliverPolicy};
use crate::core::stream::{Log, Stream};
use crate::moment::{self, Moment};

/// Messages out of the order of the stream that come first: the last ones of their subjects, in their order.
#[derive(Debug, Default)]
pub(crate) struct Skip(VecDeque<u64>);

impl Skip {
    /// The first one.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.front().copied()
    }

    /// Takes one out. Returns whether it was there.
    pub(crate) fn take(&mut self, sequence: u64) -> bool {
        match self.0.binary_search(&sequence) {
            Ok(at) => self.0.remove(at).is_some(),
            Err(_) => false,
        }
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Consumer {
    /// A consumer of `stream` at its beginning. `config` is checked and has a name.
    pub(crate) fn new(stream: &Stream, name: &str, config: ConsumerConfig, now: Moment) -> Self {
        let filters = config.filters();
        let log = &stream.log;
        let last_ones = match config.deliver_policy {
            DeliverPolicy::LastPerSubject => last_per_subject(log, &filters),
            _ => VecDeque::new(),
        };
        let (next, floor) = match last_ones.front() {
            Some(first) => (log.last() + 1, first - 1),
            None => {
                let next = start(log, &config, &filters);
                (next, next - 1)
            }
        };
        let mut consumer = Self {
            key: ConsumerKey {
                stream: stream.name.clone(),
                consumer: Arc::from(name),
            },
            created: now.wall,
            next,
            skip: Skip(last_ones),
            unseen: 0,
            ledger: Ledger::starting_after(floor),
            terminated: BTreeSet::new(),
            last_delivery: None,
            last_settlement: None,
            waiting: VecDeque::new(),
            flow: Flow::new(config.flow_control),
            active: false,
            idle_since: now.elapsed,
            heartbeat_due: None,
            paused_until: None,
            armed: None,
            filters,
            config,
        };
        consumer.count_unseen(log);
        consumer.set_pause(now);
        consumer
    }

    /// Puts `config`, which was checked, in the place of the one that is there.
    pub(crate) fn update(&mut self, log: &Log, config: ConsumerConfig, now: Moment) {
        self.filters = config.filters();
        self.config = config;
        self.count_unseen(log);
        self.set_pause(now);
    }

    fn count_unseen(&mut self, log: &Log) {
        self.unseen = self.skip.len() + log.count_of(&self.filters, self.next);
    }

    /// Turns the time of day at which a pause ends into a moment.
    pub(crate) fn set_pause(&mut self, now: Moment) {
        let until = self
            .config
            .pause_until
            .as_deref()
            .and_then(moment::parse_rfc3339);
        self.paused_until = until
            .and_then(|until| until.checked_sub(now.wall))
            .filter(|left| *left > Duration::ZERO)
            .map(|left| now.elapsed + left);
    }
}

/// The last message of each subject that is wanted.
fn last_per_subject(log: &Log, filters: &[String]) -> VecDeque<u64> {
    let mut last_ones = BTreeMap::new();
    for filter in filters {
        for (_, sequences) in log.subjects(filter) {
            last_ones.extend(sequences.last().map(|sequence| (*sequence, ())));
        }
    }
    last_ones.into_keys().collect()
}

/// The first sequence that is looked at.
fn start(log: &Log, config: &ConsumerConfig, filters: &[String]) -> u64 {
    let (first, last) = (log.first(), log.last());
    let end = last + 1;
    let wanted = match config.deliver_policy {
        DeliverPolicy::All => first,
        DeliverPolicy::Last if filters.is_empty() => last,
        DeliverPolicy::Last => {
            let last_ones = filters.iter().filter_map(|filter| log.last_of(filter));
            last_ones.max().unwrap_or(end)
        }
        DeliverPolicy::New | DeliverPolicy::LastPerSubject => end,
        // A sequence that was not given yet is waited for.
        DeliverPolicy::ByStartSequence => {
            return config.opt_start_seq.unwrap_or(1).max(first).max(1);
        }
        DeliverPolicy::ByStartTime => {
            let time = config
                .opt_start_time
                .as_deref()
                .and_then(moment::parse_rfc3339);
            log.since(time.unwrap_or_default())
        }
    };
    wanted.clamp(first.min(end), end).max(1)
}
