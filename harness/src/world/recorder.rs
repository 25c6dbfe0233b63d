//! The recorder: writes the history of a run, and what is derived from it while it grows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::quiescence::{Quiescence, STARTS_IN_VAIN_MAX};
use super::{lock, now};
use crate::broker::Profile;
use crate::history::{History, What};
use crate::run::{Recording, RunError, Settings};

/// Writes the history.
pub(crate) struct Recorder {
    record: Mutex<Record>,
    recording: Recording,
    /// Why the run can come to no result, if it cannot.
    failure: Mutex<Option<RunError>>,
}

/// The history, and what is derived from it while it grows.
struct Record {
    history: History,
    quiescence: Quiescence,
    /// Where each fault had an effect.
    bitten: BTreeMap<usize, BTreeSet<Arc<str>>>,
}

impl Recorder {
    /// A recorder that goes on with a history.
    pub(crate) fn new(history: History, recording: Recording) -> Self {
        let quiescence = Quiescence::new(&history.description);
        Recorder {
            record: Mutex::new(Record {
                history,
                quiescence,
                bitten: BTreeMap::new(),
            }),
            recording,
            failure: Mutex::default(),
        }
    }

    /// Appends to the history.
    pub(crate) fn record(&self, host: &Arc<str>, what: What) {
        self.append(host, what);
    }

    /// Appends to the history; gives the event's index, if events are recorded.
    pub(crate) fn append(&self, host: &Arc<str>, what: What) -> Option<u64> {
        let now = now();
        let mut record = lock(&self.record);
        record.quiescence.observe(now, host, &what);
        let recorded = self.recording == Recording::On;
        recorded.then(|| record.history.record(now, host, what))
    }

    /// Notes that a fault of the plan had an effect; the first time at each host enters the history.
    pub(crate) fn bit(&self, fault: usize, host: &Arc<str>, text: String) {
        let mut record = lock(&self.record);
        let hosts = record.bitten.entry(fault).or_default();
        let first = !hosts.contains(host) && hosts.insert(host.clone());
        drop(record);
        if first {
            self.record(host, What::FaultBit { fault, text });
        }
    }

    /// Whether a fault had an effect so far.
    pub(crate) fn has_bitten(&self, fault: usize) -> bool {
        lock(&self.record).bitten.contains_key(&fault)
    }

    /// The faults that had an effect so far.
    pub(crate) fn bitten(&self) -> Vec<usize> {
        lock(&self.record).bitten.keys().copied().collect()
    }

    /// The broker that the system has.
    pub(crate) fn profile(&self) -> Profile {
        lock(&self.record).history.description.profile.clone()
    }

    /// The consumer groups that the system declares.
    pub(crate) fn groups(&self) -> Vec<String> {
        let record = lock(&self.record);
        record.history.description.groups.keys().cloned().collect()
    }

    /// The consumer groups that the system declares, each with the topics that it subscribes to.
    pub(crate) fn subscriptions(&self) -> Vec<(String, Vec<String>)> {
        let record = lock(&self.record);
        let groups = record.history.description.groups.iter();
        groups
            .map(|(name, group)| (name.clone(), group.topics.clone()))
            .collect()
    }

    /// Takes the history out, at the end of the run.
    pub(crate) fn take_history(&self) -> History {
        let mut record = lock(&self.record);
        let empty = History::new(record.history.description.clone());
        std::mem::replace(&mut record.history, empty)
    }
}

/// Whether a run is over.
impl Recorder {
    /// A look at what still happens, or a word about it.
    pub(crate) fn quiescence<T>(&self, look: impl FnOnce(&mut Quiescence) -> T) -> T {
        look(&mut lock(&self.record).quiescence)
    }

    /// A transaction of a host changed rows of a database.
    pub(crate) fn changed(&self, host: &Arc<str>, database: &Arc<str>, is_background: bool) {
        self.quiescence(|seen| seen.changed(now(), host, database, is_background));
    }

    /// Whether nothing that is owed has happened for a while, and nothing committed waits to be published.
    pub(crate) fn owes_nothing(&self, settings: &Settings) -> bool {
        self.quiescence(|seen| seen.is_still(now(), settings) && seen.obligations().are_met())
    }

    /// What keeps the system from being quiet, for a person.
    pub(crate) fn waiting_for(&self, unanswered: usize, backlog: Option<String>) -> String {
        let now = now();
        let reasons = [
            self.quiescence(|seen| seen.failing(now)),
            (unanswered > 0).then(|| format!("{unanswered} operations without an answer")),
            self.quiescence(|seen| seen.obligations().outstanding()),
            backlog,
            self.quiescence(|seen| seen.unending(now)),
        ];
        let reasons: Vec<String> = reasons.into_iter().flatten().collect();
        reasons.join("; ")
    }

    /// In a run without faults: a service that never gets past its start is no system that could be tested.
    pub(crate) fn refuse_if_in_vain(&self, host: &str) {
        let in_vain = |seen: &mut Quiescence| {
            let (times, error) = seen.in_vain(host)?;
            Some((times, error.to_owned()))
        };
        if let Some((times, error)) = self.quiescence(in_vain)
            && times >= STARTS_IN_VAIN_MAX
        {
            let host = host.to_owned();
            self.fail(RunError::NeverUp { host, times, error });
        }
    }

    /// The run can come to no result. The first reason counts.
    pub(crate) fn fail(&self, why: RunError) {
        lock(&self.failure).get_or_insert(why);
    }

    /// Whether the run can come to no result.
    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    /// Takes why the run can come to no result.
    pub(crate) fn take_failure(&self) -> Option<RunError> {
        lock(&self.failure).take()
    }
}
