//! News: what whoever drives a run can learn of its hosts, and how it is told that there is something to learn.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Machine;

use crate::lock;
use crate::link::{Affected, Traffic};
use crate::run::{Ending, Usage};
use crate::scheduler::{Scheduler, Wait};

/// What a host's thread rings to wake the one that drives the run; see [`Machine::wait_for_bell`].
#[derive(Clone)]
pub struct Bell(Arc<Scheduler>);

impl Bell {
    /// Rings, at the current moment.
    pub fn ring(&self) {
        self.0.lock().ring();
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Bell")
    }
}

impl Machine<'_> {
    /// What wakes this thread while it is in [`Machine::wait_for_bell`].
    pub fn bell(&self) -> Bell {
        Bell(self.context.scheduler.clone())
    }

    /// Keeps something for the code on the run's hosts, where [`attached`](crate::attached) finds it.
    pub fn attach<T: Any + Send + Sync>(&self, value: &Arc<T>) {
        let value: Weak<dyn Any + Send + Sync> = Arc::downgrade(value) as _;
        self.context.scheduler.lock().attached = Some(value);
    }

    /// Lets virtual time pass until somebody rings the [`Bell`] or a fault of a link affects a packet (see
    /// [`Machine::take_affected`]) or a process ends (see [`Machine::ending`]), but not beyond `until`; whether it was
    /// rung. A bell that was rung before rings at once.
    pub fn wait_for_bell(&self, until: Duration) -> bool {
        let is_rung = self.context.scheduler.lock().is_rung;
        if !is_rung {
            let left = until.saturating_sub(self.now());
            self.wait(Wait::Bell, Some(left));
        }
        std::mem::take(&mut self.context.scheduler.lock().is_rung)
    }

    /// What has gone from one host to another so far, by the names of the two. What a host has sent to itself is
    /// not counted.
    pub fn traffic(&self) -> BTreeMap<(Arc<str>, Arc<str>), Traffic> {
        self.context.scheduler.lock().network.traffic()
    }

    /// Takes the links, from one host to another, on which a packet was affected by [`Machine::cut`] or
    /// [`Machine::slow_down`] since this was last asked. The first packet of each kind rings the [`Bell`].
    pub fn take_affected(&self) -> Vec<(Arc<str>, Arc<str>, Affected)> {
        self.context.scheduler.lock().network.take_affected()
    }

    /// How often processes of the host `name` have looked at their system clock. What a fault of that clock
    /// misleads is who looks at it.
    pub fn clock_reads(&self, name: &str) -> u64 {
        let hosts = self.hosts.borrow();
        let own = hosts.iter().filter(|own| &*own.name == name);
        own.map(|own| own.clock_reads()).sum()
    }

    /// Whether a process of the host `name` has ever looked at its system clock.
    pub fn has_read_clock(&self, name: &str) -> bool {
        self.clock_reads(name) > 0
    }

    /// What the latest process of the host `name` uses now; `None` if there is no such host.
    pub fn usage(&self, name: &str) -> Option<Usage> {
        let host = self.process(name)?;
        let threads = self.context.scheduler.lock().threads_of(&host).len();
        let descriptors = lock(&host.descriptors).count();
        Some(Usage {
            threads,
            descriptors,
        })
    }

    /// How the latest process of the host `name` has ended; `None` if it lives, or if there is none.
    pub fn ending(&self, name: &str) -> Option<Ending> {
        let host = self.process(name).filter(|own| own.is_dead())?;
        lock(&host.ending).clone()
    }
}
