//! Stops: a host's software is told to stop, as a process is by SIGTERM, and stops in good order.
//!
//! Ports are alive until it has ended, and destructors have their effect: that is what tells a stop from
//! a crash. Software that never asks to be told has ended at once, and software that does is dropped
//! when its grace is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::world::{Gate, World, lock};
use crate::history::What;

/// How long software that asks to be told has to come to its end. Orchestrators give ten seconds or
/// more; plans are short.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Who asks to be told, and who was.
#[derive(Default)]
pub(crate) struct Stops {
    hosts: Mutex<BTreeMap<Arc<str>, Stop>>,
}

/// What one incarnation of a host has to do with stopping.
#[derive(Clone, Copy, Default)]
struct Stop {
    /// Whether the software has asked to be told.
    is_heeded: bool,
    /// The fault that stops it, and when it has to have ended.
    told: Option<(usize, Duration)>,
}

impl Stops {
    /// Forgets what was of a host's last incarnation.
    pub(super) fn forget(&self, host: &str) {
        lock(&self.hosts).remove(host);
    }

    fn of(&self, host: &str) -> Stop {
        lock(&self.hosts).get(host).copied().unwrap_or_default()
    }
}

impl World {
    /// Tells a host to stop, unless it was told before; says whether it is this fault that stops it.
    pub(crate) fn tell_to_stop(&self, host: &Arc<str>, fault: usize, text: &str) -> bool {
        let stop = self.stops.of(host);
        if let Some((by, _)) = stop.told {
            // It may even have stopped since then.
            return by == fault;
        }
        if !self.is_up(host) {
            return false;
        }
        let grace = if stop.is_heeded {
            GRACE
        } else {
            Duration::ZERO
        };
        let until = self.now() + grace;
        self.bit(fault, host, text.to_owned());
        self.record(host, What::HostStopping { until });
        let told = Some((fault, until));
        lock(&self.stops.hosts).insert(host.clone(), Stop { told, ..stop });
        true
    }
}

impl World {
    /// Whether a host was told to stop.
    pub(crate) fn is_told_to_stop(&self, host: &str) -> bool {
        self.stops.of(host).told.is_some()
    }

    /// A host has to have stopped by now: if it has not, it is stopped.
    pub(crate) fn stop_late(&self, host: &Arc<str>) {
        if self.is_up(host) && self.is_told_to_stop(host) {
            self.stop(host, Some(format!("not done within {GRACE:?}")));
        }
    }
}

impl Gate {
    /// The software asks to be told when it has to stop.
    pub(crate) fn heed(&self) {
        if !self.is_dead() {
            let mut hosts = lock(&self.world().stops.hosts);
            hosts.entry(self.host().clone()).or_default().is_heeded = true;
        }
    }
}
