//! Trouble: what befell a host, so that it may have broken off or failed for no reason of its own.
//!
//! A rollback alone is no trouble: a consumer rolls back whenever it fails, poison included. Where a
//! fault rolled it back, the failed statement or the fault itself stands in the history. Neither is a
//! service that ends by itself, and starts again after it.

use std::collections::{BTreeMap, BTreeSet};

use super::marks::Marks;
use crate::history::{Event, ExternalOutcome, History, What};

/// What lasts, as `(began, ended)`.
type Spells = Vec<(u64, u64)>;

/// When each host was in trouble.
#[derive(Debug, Default)]
pub(super) struct Troubles<'h> {
    /// What befell a host at one moment.
    struck: Marks<'h>,
    /// Faults that lasted, at the hosts at which they had an effect.
    lasting: BTreeMap<&'h str, Spells>,
    /// When each host could not publish: it may not even try, as behind a circuit breaker, until a
    /// publication was acknowledged again.
    mute: BTreeMap<&'h str, Spells>,
    /// When a server was down, for everybody.
    without_server: Spells,
    /// When each group's members changed.
    rebalanced: Marks<'h>,
}

impl<'h> Troubles<'h> {
    /// Reads a history once.
    pub(super) fn of(history: &'h History) -> Self {
        let mut reader = Reader {
            servers: history
                .description
                .servers
                .iter()
                .map(|own| &**own)
                .collect(),
            ..Reader::default()
        };
        for event in &history.events {
            reader.read(event);
        }
        reader.troubles
    }

    /// Whether something befell the host between two events, which may have broken off its work.
    pub(super) fn struck(&self, host: &str, from: u64, to: u64) -> bool {
        self.struck.between(host, from, to).is_some()
    }

    /// Whether the host was in any trouble between two events.
    pub(super) fn between(&self, host: &str, from: u64, to: u64) -> bool {
        let own = [&self.lasting, &self.mute].map(|spells| spells.get(host));
        let mut spells = own
            .into_iter()
            .flatten()
            .flatten()
            .chain(&self.without_server);
        self.struck(host, from, to) || spells.any(|&(began, ended)| began < to && from < ended)
    }

    /// Whether the group's members changed between two events.
    pub(super) fn rebalanced(&self, group: &str, from: u64, to: u64) -> bool {
        self.rebalanced.between(group, from, to).is_some()
    }
}

#[derive(Default)]
struct Reader<'h> {
    /// The hosts that everybody needs.
    servers: BTreeSet<&'h str>,
    troubles: Troubles<'h>,
    /// Where each fault has had an effect and is not over.
    active: BTreeMap<usize, Vec<(&'h str, u64)>>,
    /// Hosts whose service came to an end by itself.
    ended: BTreeSet<&'h str>,
}

impl<'h> Reader<'h> {
    fn read(&mut self, event: &'h Event) {
        let (host, index) = (&*event.host, event.index);
        match &event.what {
            What::FaultBit { fault, .. } => {
                self.active.entry(*fault).or_default().push((host, index));
                self.troubles.struck.add(host, index);
            }
            What::FaultLifted { fault } => {
                for (host, began) in self.active.remove(fault).unwrap_or_default() {
                    let spells = self.troubles.lasting.entry(host).or_default();
                    spells.push((began, index));
                }
            }
            What::PublishRejected { .. } | What::PublishUnknown { .. } => {
                begin(self.troubles.mute.entry(host).or_default(), index);
                self.troubles.struck.add(host, index);
            }
            What::PublishAcknowledged { .. } => {
                end(self.troubles.mute.entry(host).or_default(), index);
            }
            What::Rebalanced { group, .. } => self.troubles.rebalanced.add(group, index),
            What::HostExited { .. } => {
                self.ended.insert(host);
            }
            What::HostCrashed if self.servers.contains(host) => {
                begin(&mut self.troubles.without_server, index);
            }
            What::HostStarted { .. } if self.servers.contains(host) => {
                end(&mut self.troubles.without_server, index);
            }
            What::HostCrashed if !self.ended.contains(host) => {
                self.troubles.struck.add(host, index);
            }
            What::HostStarted { .. } if !self.ended.remove(host) => {
                self.troubles.struck.add(host, index);
            }
            What::HostStopping { .. }
            | What::HostStopped { .. }
            | What::HostPaused { .. }
            | What::StatementFailed { .. } => {
                self.troubles.struck.add(host, index);
            }
            What::ExternalCalled {
                outcome, answered, ..
            } if *outcome == ExternalOutcome::Unavailable || !answered => {
                self.troubles.struck.add(host, index);
            }
            _ => {}
        }
    }
}

fn begin(spells: &mut Spells, index: u64) {
    if spells.last().is_none_or(|&(_, ended)| ended != u64::MAX) {
        spells.push((index, u64::MAX));
    }
}

fn end(spells: &mut Spells, index: u64) {
    if let Some((_, ended)) = spells.last_mut() {
        *ended = (*ended).min(index);
    }
}
