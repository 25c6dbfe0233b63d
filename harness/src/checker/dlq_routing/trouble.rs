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
}

impl<'h> Troubles<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut troubles = Troubles {
            by_host: BTreeMap::new(),
            lasting: Vec::new(),
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

    /// Whether the host was in trouble between two events.
    pub(super) fn between(&self, host: &str, from: u64, to: u64) -> bool {
        let own = self.by_host.get(host).is_some_and(|indexes| {
            let next = indexes.partition_point(|&index| index <= from);
            indexes.get(next).is_some_and(|&index| index < to)
        });
        own || self
            .lasting
            .iter()
            .any(|&(began, ended)| began < to && from < ended)
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
