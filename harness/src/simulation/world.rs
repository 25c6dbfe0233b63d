//! The world of one run: what outlives a host's crash, and the gate through which ports reach it.
//!
//! One thread of a run works at a time, so that the mutexes are never contended. No guard lives across an `.await`.

mod gate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub(crate) use gate::Gate;

use crate::broker::{self, Handout};
use crate::history::{History, What};
use crate::nemesis::{Armed, Command, Poisoned};
use crate::plan::Targets;
use crate::simulation::RunError;

use super::quiescence::Quiescence;
use super::settings::Recording;
use super::stops::Stops;

/// What all hosts of one run share.
pub(crate) struct World {
    /// The broker's durable state; its host only carries frames to it.
    pub(crate) broker: Mutex<broker::Core>,
    /// Told whenever something may have become available to a waiting consumer.
    pub(crate) broker_changed: Notify,
    /// Third parties that cannot be reached, each with the fault that did it.
    outages: Mutex<BTreeMap<String, usize>>,
    /// Databases whose disks are full, each with the fault that did it.
    full_disks: Mutex<BTreeMap<String, usize>>,
    /// PostgreSQL servers that take no new connections, each with the fault that did it.
    used_up: Mutex<BTreeMap<String, usize>>,
    nemesis: Mutex<Armed>,
    hosts: Mutex<BTreeMap<Arc<str>, HostState>>,
    links: Mutex<Vec<StruckLink>>,
    /// Who is told to stop.
    pub(super) stops: Stops,
    capacity_limit: Mutex<Option<usize>>,
    /// Why the run can come to no result, if it cannot.
    failure: Mutex<Option<RunError>>,
    record: Mutex<Record>,
    recording: Recording,
}

/// The history, and what is derived from it while it grows.
struct Record {
    history: History,
    quiescence: Quiescence,
    /// Where each fault had an effect.
    bitten: BTreeMap<usize, BTreeSet<Arc<str>>>,
}

/// One host, across its incarnations.
#[derive(Default)]
struct HostState {
    incarnation: u32,
    up: bool,
    /// Whether its computer is gone, so that nobody is told that it is down.
    is_lost: bool,
    paused: Option<Paused>,
}

#[derive(Clone, Copy)]
struct Paused {
    until: Duration,
    fault: usize,
}

/// A link that a network fault of the plan affects.
#[derive(Clone)]
pub(crate) struct StruckLink {
    /// The fault's index in the plan.
    pub(crate) fault: usize,
    /// The sending side.
    pub(crate) from: String,
    /// The receiving side.
    pub(crate) to: String,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(
        core: broker::Core,
        history: History,
        armed: Armed,
        recording: Recording,
    ) -> Self {
        let quiescence = Quiescence::new(&history.description);
        World {
            broker: Mutex::new(core),
            broker_changed: Notify::new(),
            outages: Mutex::default(),
            full_disks: Mutex::default(),
            used_up: Mutex::default(),
            nemesis: Mutex::new(armed),
            hosts: Mutex::default(),
            links: Mutex::default(),
            stops: Stops::default(),
            capacity_limit: Mutex::default(),
            failure: Mutex::default(),
            record: Mutex::new(Record {
                history,
                quiescence,
                bitten: BTreeMap::new(),
            }),
            recording,
        }
    }

    /// Virtual time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        stormglass_machine::elapsed().unwrap_or_default()
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

    /// Whether anything is recorded at all.
    pub(crate) fn recording(&self) -> Recording {
        self.recording
    }

    /// Appends to the history.
    pub(crate) fn record(&self, host: &Arc<str>, what: What) {
        self.append(host, what);
    }

    /// Appends to the history; gives the event's index, if events are recorded.
    pub(crate) fn append(&self, host: &Arc<str>, what: What) -> Option<u64> {
        let now = self.now();
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

    /// A transaction of a host changed rows of a database.
    pub(crate) fn changed(&self, host: &Arc<str>, database: &Arc<str>, is_background: bool) {
        let now = self.now();
        self.quiescence(|seen| seen.changed(now, host, database, is_background));
    }

    /// A look at what still happens, or a word about it.
    pub(crate) fn quiescence<T>(&self, look: impl FnOnce(&mut Quiescence) -> T) -> T {
        look(&mut lock(&self.record).quiescence)
    }

    /// Takes the history out, at the end of the run.
    pub(crate) fn take_history(&self) -> History {
        let mut record = lock(&self.record);
        let empty = History::new(record.history.description.clone());
        std::mem::replace(&mut record.history, empty)
    }

    /// The gate of a host's next incarnation, which is up from now on.
    pub(crate) fn start(self: &Arc<Self>, host: &Arc<str>) -> Gate {
        let incarnation = {
            let mut hosts = lock(&self.hosts);
            let state = hosts.entry(host.clone()).or_default();
            state.incarnation += 1;
            state.up = true;
            state.is_lost = false;
            state.paused = None;
            state.incarnation
        };
        self.stops.forget(host);
        self.record(host, What::HostStarted { incarnation });
        Gate {
            world: self.clone(),
            host: host.clone(),
            incarnation,
        }
    }

    /// The gate of a host's present incarnation.
    pub(crate) fn gate_of(self: &Arc<Self>, host: &Arc<str>) -> Option<Gate> {
        let incarnation = lock(&self.hosts).get(host)?.incarnation;
        Some(Gate {
            world: self.clone(),
            host: host.clone(),
            incarnation,
        })
    }

    /// The fault because of which a third party cannot be reached.
    pub(crate) fn outage_of(&self, provider: &str) -> Option<usize> {
        lock(&self.outages).get(provider).copied()
    }

    /// Replaces the set of third parties that cannot be reached, each with the fault that did it.
    pub(crate) fn set_outages(&self, outages: BTreeMap<String, usize>) {
        *lock(&self.outages) = outages;
    }

    /// The fault because of which a database cannot write.
    pub(crate) fn full_disk_of(&self, database: &str) -> Option<usize> {
        lock(&self.full_disks).get(database).copied()
    }

    /// Replaces the set of databases that cannot write, each with the fault that did it.
    pub(crate) fn set_full_disks(&self, full: BTreeMap<String, usize>) {
        *lock(&self.full_disks) = full;
    }

    /// The fault because of which a PostgreSQL server takes no new connections.
    pub(crate) fn used_up_at(&self, server: &str) -> Option<usize> {
        lock(&self.used_up).get(server).copied()
    }

    /// Replaces the set of PostgreSQL servers that take no new connections, each with the fault that did it.
    pub(crate) fn set_used_up(&self, servers: BTreeMap<String, usize>) {
        *lock(&self.used_up) = servers;
    }

    /// Whether the host is up.
    pub(crate) fn is_up(&self, host: &str) -> bool {
        lock(&self.hosts).get(host).is_some_and(|state| state.up)
    }

    /// Kills a host: nothing that it still does is recorded. Returns whether it was up.
    pub(crate) fn kill(&self, host: &Arc<str>) -> bool {
        self.take_down(host, What::HostCrashed)
    }

    /// As [`World::kill`], with the computer: who talks to the host is not told.
    pub(crate) fn lose(&self, host: &Arc<str>) -> bool {
        if let Some(state) = lock(&self.hosts).get_mut(host).filter(|state| state.up) {
            state.is_lost = true;
        }
        self.kill(host)
    }

    fn take_down(&self, host: &Arc<str>, what: What) -> bool {
        {
            let mut hosts = lock(&self.hosts);
            let Some(state) = hosts.get_mut(host) else {
                return false;
            };
            if !std::mem::take(&mut state.up) {
                return false;
            }
            state.paused = None;
        }
        self.record(host, what);
        true
    }

    /// Lets a host stand still until a time.
    pub(crate) fn pause(&self, host: &Arc<str>, fault: usize, until: Duration) {
        let paused = {
            let mut hosts = lock(&self.hosts);
            let state = hosts.get_mut(host).filter(|state| state.up);
            state
                .map(|state| state.paused = Some(Paused { until, fault }))
                .is_some()
        };
        if paused {
            self.record(host, What::HostPaused { until });
        }
    }

    /// When the last of the pauses ends that have begun.
    pub(crate) fn paused_until(&self) -> Duration {
        let hosts = lock(&self.hosts);
        let paused = hosts.values().filter_map(|state| state.paused);
        paused.map(|paused| paused.until).max().unwrap_or_default()
    }

    /// Ends every pause.
    pub(crate) fn resume_all(&self) {
        for state in lock(&self.hosts).values_mut() {
            if let Some(paused) = &mut state.paused {
                paused.until = Duration::ZERO;
            }
        }
    }

    /// Whether the system declares a consumer group of this name.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        let record = lock(&self.record);
        record.history.description.groups.contains_key(group)
    }

    /// Replaces the links that network faults affect.
    pub(crate) fn set_links(&self, links: Vec<StruckLink>) {
        *lock(&self.links) = links;
    }

    /// Something was sent over a link: a network fault that affects it has bitten.
    pub(crate) fn sent(&self, from: &Arc<str>, to: &Arc<str>) {
        let struck: Vec<StruckLink> = {
            let links = lock(&self.links);
            if links.is_empty() {
                return;
            }
            links
                .iter()
                .filter(|link| *link.from == **from && *link.to == **to)
                .cloned()
                .collect()
        };
        for link in struck {
            self.bit(link.fault, from, format!("traffic to {to} affected"));
            self.bit(link.fault, to, format!("traffic from {from} affected"));
        }
    }

    /// A fault has reset connections between two hosts.
    pub(crate) fn reset(&self, fault: usize, a: &Arc<str>, b: &Arc<str>) {
        for (host, peer) in [(a, b), (b, a)] {
            self.bit(fault, host, format!("connections with {peer} reset"));
        }
    }

    /// Lets the broker refuse every publish, because of a fault, or accept them again.
    pub(crate) fn set_capacity_limit(&self, fault: Option<usize>) {
        *lock(&self.capacity_limit) = fault;
    }

    /// The fault because of which the broker refuses every publish.
    pub(crate) fn capacity_limit(&self) -> Option<usize> {
        *lock(&self.capacity_limit)
    }

    /// Makes so many messages poison for a group: this one, and the next of its key.
    pub(crate) fn poison(&self, group: &Arc<str>, first: &Handout, fault: usize, events: u32) {
        lock(&self.nemesis).poison(group, first, fault, events);
    }

    /// The fault because of which a group cannot decode what it is handed.
    pub(crate) fn poisoned(&self, group: &Arc<str>, handout: &Handout) -> Option<Poisoned> {
        lock(&self.nemesis).poisoned(group, handout)
    }

    /// Takes the commands that calls left for whoever drives the run.
    pub(crate) fn take_commands(&self) -> Vec<Command> {
        lock(&self.nemesis).take_commands()
    }

    /// A host's software came to an end by itself: the host is dead until it is started again.
    pub(crate) fn end(&self, host: &Arc<str>) {
        self.kill(host);
        lock(&self.nemesis).push(Command::Exited {
            host: host.to_string(),
        });
    }

    /// A host's software came to its end because it was told to stop.
    pub(crate) fn stop(&self, host: &Arc<str>, error: Option<String>) {
        self.take_down(host, What::HostStopped { error });
        lock(&self.nemesis).push(Command::Stopped {
            host: host.to_string(),
        });
    }

    /// Kills every host, at the end of the run.
    pub(crate) fn kill_all(&self) {
        let names: Vec<Arc<str>> = lock(&self.hosts).keys().cloned().collect();
        for host in names {
            self.kill(&host);
        }
    }

    /// What faults could aim at, judging by the calls that were made so far; of machines and links the world knows
    /// nothing.
    pub(crate) fn targets(&self) -> Targets {
        let record = lock(&self.record);
        let groups = record.history.description.groups.keys().cloned().collect();
        let nemesis = lock(&self.nemesis);
        let calls = nemesis.seen().filter(|(host, _)| **host != *broker::HOST);
        let calls = calls
            .map(|(host, call)| (host.to_string(), *call))
            .collect();
        Targets {
            calls,
            groups,
            ..Targets::default()
        }
    }

    /// Forgets the faults that still wait for a call.
    pub(crate) fn disarm(&self) {
        lock(&self.nemesis).disarm();
    }
}
