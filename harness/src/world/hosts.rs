//! The hosts: who is up, who stands still, and who was told to stop.
//!
//! A host that is told to stop stops in good order, as a process does at SIGTERM: its calls count until it has ended, and
//! destructors have their effect. That is what tells a stop from a crash. Software that never asks to be told has ended at
//! once, and software that does is dropped when its grace is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::commands::{Command, Commands};
use super::recorder::Recorder;
use super::{lock, now};
use crate::history::What;

/// How long software that asks to be told has to come to its end. Orchestrators give ten seconds or
/// more; plans are short.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// All hosts of a run.
pub(crate) struct Hosts {
    states: Mutex<BTreeMap<Arc<str>, SharedState>>,
    recorder: Arc<Recorder>,
    commands: Arc<Commands>,
}

/// A host's state, as its gates share it: they ask for it at every call.
pub(super) type SharedState = Arc<Mutex<HostState>>;

/// One host, across its incarnations.
#[derive(Default)]
pub(super) struct HostState {
    incarnation: u32,
    up: bool,
    /// Whether its computer is gone, so that nobody is told that it is down.
    is_lost: bool,
    paused: Option<Pause>,
    stop: Stop,
}

/// Until when a host stands still, and because of which fault.
#[derive(Clone, Copy)]
pub(super) struct Pause {
    pub(super) until: Duration,
    pub(super) fault: usize,
}

/// What one incarnation of a host has to do with stopping.
#[derive(Clone, Copy, Default)]
struct Stop {
    /// Whether the software has asked to be told.
    is_heeded: bool,
    /// The fault that stops it.
    told: Option<usize>,
}

impl HostState {
    /// The incarnation that is up, or was last.
    pub(super) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Whether an incarnation is up.
    pub(super) fn is_alive(&self, incarnation: u32) -> bool {
        self.up && self.incarnation == incarnation
    }

    /// Whether an incarnation has gone in silence, with its computer, which is not back.
    pub(super) fn is_lost(&self, incarnation: u32) -> bool {
        self.is_lost && self.incarnation == incarnation
    }

    pub(super) fn paused(&self) -> Option<Pause> {
        self.paused
    }
}

impl Hosts {
    pub(super) fn new(recorder: Arc<Recorder>, commands: Arc<Commands>) -> Self {
        Hosts {
            states: Mutex::default(),
            recorder,
            commands,
        }
    }

    /// The state of a host; `None` if it was never started.
    pub(super) fn state_of(&self, host: &str) -> Option<SharedState> {
        lock(&self.states).get(host).cloned()
    }

    fn look<T>(&self, host: &str, look: impl FnOnce(&mut HostState) -> T) -> Option<T> {
        let states = lock(&self.states);
        states.get(host).map(|state| look(&mut lock(state)))
    }

    /// A host's next incarnation is up from now on: its number, and the host's state.
    pub(super) fn start(&self, host: &Arc<str>) -> (u32, SharedState) {
        let shared = lock(&self.states).entry(host.clone()).or_default().clone();
        let incarnation = {
            let mut state = lock(&shared);
            *state = HostState {
                incarnation: state.incarnation + 1,
                up: true,
                ..HostState::default()
            };
            state.incarnation
        };
        self.recorder
            .record(host, What::HostStarted { incarnation });
        (incarnation, shared)
    }

    /// Whether the host is up.
    pub(crate) fn is_up(&self, host: &str) -> bool {
        self.look(host, |state| state.up).unwrap_or_default()
    }

    /// Kills a host: nothing that it still does is recorded. Returns whether it was up.
    pub(crate) fn kill(&self, host: &Arc<str>) -> bool {
        self.take_down(host, What::HostCrashed)
    }

    /// As [`Hosts::kill`], with the computer: who talks to the host is not told.
    pub(crate) fn lose(&self, host: &Arc<str>) -> bool {
        self.look(host, |state| state.is_lost |= state.up);
        self.kill(host)
    }

    fn take_down(&self, host: &Arc<str>, what: What) -> bool {
        let was_up = self.look(host, |state| {
            let was_up = std::mem::take(&mut state.up);
            if was_up {
                state.paused = None;
            }
            was_up
        });
        if was_up == Some(true) {
            self.recorder.record(host, what);
        }
        was_up.unwrap_or_default()
    }

    /// A host's software came to an end by itself: the host is dead until it is started again.
    pub(crate) fn end(&self, host: &Arc<str>) {
        self.kill(host);
        let host = host.to_string();
        self.commands.push(Command::Exited { host });
    }

    /// Kills every host, at the end of the run.
    pub(crate) fn kill_all(&self) {
        let names: Vec<Arc<str>> = lock(&self.states).keys().cloned().collect();
        for host in names {
            self.kill(&host);
        }
    }
}

/// Pauses.
impl Hosts {
    /// Lets a host stand still until a time.
    pub(crate) fn pause(&self, host: &Arc<str>, fault: usize, until: Duration) {
        let paused = self.look(host, |state| {
            if state.up {
                state.paused = Some(Pause { until, fault });
            }
            state.up
        });
        if paused == Some(true) {
            self.recorder.record(host, What::HostPaused { until });
        }
    }

    /// When the last of the pauses ends that have begun.
    pub(crate) fn paused_until(&self) -> Duration {
        let states = lock(&self.states);
        let paused = states.values().filter_map(|state| lock(state).paused);
        paused.map(|paused| paused.until).max().unwrap_or_default()
    }

    /// Ends every pause.
    pub(crate) fn resume_all(&self) {
        for state in lock(&self.states).values() {
            if let Some(paused) = &mut lock(state).paused {
                paused.until = Duration::ZERO;
            }
        }
    }
}

/// Stops.
impl Hosts {
    /// A host's software asks to be told when it has to stop.
    pub(super) fn heed(&self, host: &str) {
        self.look(host, |state| state.stop.is_heeded = true);
    }

    /// Tells a host to stop, unless it was told before; says whether it is this fault that stops it.
    pub(crate) fn tell_to_stop(&self, host: &Arc<str>, fault: usize, text: &str) -> bool {
        let found = self.look(host, |state| (state.up, state.stop));
        let Some((up, stop)) = found else {
            return false;
        };
        if let Some(by) = stop.told {
            // It may even have stopped since then.
            return by == fault;
        }
        if !up {
            return false;
        }
        let grace = match stop.is_heeded {
            true => GRACE,
            false => Duration::ZERO,
        };
        let until = now() + grace;
        self.recorder.bit(fault, host, text.to_owned());
        self.recorder.record(host, What::HostStopping { until });
        self.look(host, |state| state.stop.told = Some(fault));
        true
    }

    /// Whether a host was told to stop.
    pub(crate) fn is_told_to_stop(&self, host: &str) -> bool {
        let is_told = |state: &mut HostState| state.stop.told.is_some();
        self.look(host, is_told).unwrap_or_default()
    }

    /// A host's software came to its end because it was told to stop.
    pub(crate) fn stop(&self, host: &Arc<str>, error: Option<String>) {
        self.take_down(host, What::HostStopped { error });
        let host = host.to_string();
        self.commands.push(Command::Stopped { host });
    }

    /// A host has to have stopped by now: if it has not, it is stopped.
    pub(crate) fn stop_late(&self, host: &Arc<str>) {
        if self.is_up(host) && self.is_told_to_stop(host) {
            self.stop(host, Some(format!("not done within {GRACE:?}")));
        }
    }
}
