//! Trouble: what befell a host that excuses a retry which no poison caused.
//!
//! A rollback alone is no trouble: a consumer rolls back whenever it fails, poison included. Where
//! a fault rolled it back, the failed statement or the fault itself stands in the history.

use std::collections::BTreeMap;

use crate::history::{Event, ExternalOutcome, History, What};

/// When each host was in trouble, by indexes into the history.
pub(super) struct Troubles<'h> {
    by_host: BTreeMap<&'h str, Vec<u64>>,
    /// Faults with a beginning and an end, as `(began, ended)`; they may strike any host.
    lasting: Vec<(u64, u64)>,
    /// When each host could not publish, as `(began, ended)`: it may not even try, as behind a
    /// circuit breaker, until a publication was acknowledged again.
    mute: BTreeMap<&'h str, Vec<(u64, u64)>>,
}

impl<'h> Troubles<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut troubles = Troubles {
            by_host: BTreeMap::new(),
            lasting: Vec::new(),
            mute: BTreeMap::new(),
        };
        let mut began: BTreeMap<usize, u64> = BTreeMap::new();
        for event in &history.events {
            match &event.what {
                What::FaultBit { fault, .. } => {
                    began.entry(*fault).or_insert(event.index);
                }
                What::FaultLifted { fault } => {
                    let since = began.get(fault).copied();
                    troubles
                        .lasting
                        .extend(since.map(|since| (since, event.index)));
                }
                What::PublishRejected { .. } | What::PublishUnknown { .. } => {
                    troubles.cannot_publish(event);
                }
                What::PublishAcknowledged { .. } => troubles.publishes_again(event),
                _ => {}
            }
            if is_trouble(event) {
                troubles
                    .by_host
                    .entry(&event.host)
                    .or_default()
                    .push(event.index);
            }
        }
        troubles
    }

    fn cannot_publish(&mut self, event: &'h Event) {
        let spells = self.mute.entry(&event.host).or_default();
        if spells.last().is_none_or(|&(_, ended)| ended != u64::MAX) {
            spells.push((event.index, u64::MAX));
        }
    }

    fn publishes_again(&mut self, event: &'h Event) {
        let spells = self.mute.get_mut(&*event.host);
        if let Some((_, ended)) = spells.and_then(|spells| spells.last_mut()) {
            *ended = (*ended).min(event.index);
        }
    }

    /// Whether the host was in trouble between two events.
    pub(super) fn between(&self, host: &str, from: u64, to: u64) -> bool {
        let own = self.by_host.get(host).is_some_and(|indexes| {
            let next = indexes.partition_point(|&index| index <= from);
            indexes.get(next).is_some_and(|&index| index < to)
        });
        let mute = self.mute.get(host).into_iter().flatten();
        let mut spells = mute.chain(&self.lasting);
        own || spells.any(|&(began, ended)| began < to && from < ended)
    }
}

fn is_trouble(event: &Event) -> bool {
    match &event.what {
        What::StatementFailed { .. }
        | What::PublishRejected { .. }
        | What::PublishUnknown { .. }
        | What::FaultBit { .. }
        | What::HostCrashed
        | What::HostExited { .. }
        | What::HostPaused { .. } => true,
        What::ExternalCalled {
            outcome, answered, ..
        } => *outcome == ExternalOutcome::Unavailable || !answered,
        _ => false,
    }
}
