//! Conditions: what befalls products and links for a time, each with the fault that did it, by its index in the plan.
//!
//! The nemesis sets them; servers and hooks, which see the calls, let them have their effect.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::lock;

/// What befalls products and links now.
#[derive(Default)]
pub(crate) struct Conditions {
    state: Mutex<State>,
    /// How many publishes the broker has taken in this minute of the run, and which minute it is.
    taken: Mutex<(u64, u32)>,
}

/// All conditions at one moment.
#[derive(Default)]
pub(crate) struct State {
    /// Third parties that cannot be reached.
    pub(crate) outages: BTreeMap<String, usize>,
    /// Databases whose disks are full.
    pub(crate) full_disks: BTreeMap<String, usize>,
    /// PostgreSQL servers that take no new connections.
    pub(crate) used_up: BTreeMap<String, usize>,
    /// Links that network faults affect.
    pub(crate) links: Vec<StruckLink>,
    /// Whether the broker takes only so many publishes.
    pub(crate) capacity_limit: Option<CapacityLimit>,
}

/// A limit to what the broker takes.
#[derive(Clone, Copy)]
pub(crate) struct CapacityLimit {
    /// The fault's index in the plan.
    pub(crate) fault: usize,
    /// How many publishes it takes in each minute of the run.
    pub(crate) per_minute: u32,
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

impl Conditions {
    /// Replaces all of them.
    pub(crate) fn set(&self, state: State) {
        *lock(&self.state) = state;
    }

    /// The fault because of which a third party cannot be reached.
    pub(crate) fn outage_of(&self, provider: &str) -> Option<usize> {
        lock(&self.state).outages.get(provider).copied()
    }

    /// The fault because of which a database cannot write.
    pub(crate) fn full_disk_of(&self, database: &str) -> Option<usize> {
        lock(&self.state).full_disks.get(database).copied()
    }

    /// The fault because of which a PostgreSQL server takes no new connections.
    pub(crate) fn used_up_at(&self, server: &str) -> Option<usize> {
        lock(&self.state).used_up.get(server).copied()
    }

    /// The fault because of which the broker refuses a publish that reaches it now; where there is none the publish is counted.
    pub(crate) fn refuses_publish(&self, now: Duration) -> Option<usize> {
        let limit = lock(&self.state).capacity_limit?;
        let minute = now.as_secs() / 60;
        let mut taken = lock(&self.taken);
        let count = if taken.0 == minute { taken.1 } else { 0 };
        if count >= limit.per_minute {
            return Some(limit.fault);
        }
        *taken = (minute, count + 1);
        None
    }

    /// The faults that affect what is sent over a link.
    pub(crate) fn of_link(&self, from: &str, to: &str) -> Vec<usize> {
        let state = lock(&self.state);
        let links = state.links.iter();
        let struck = links.filter(|link| link.from == from && link.to == to);
        struck.map(|link| link.fault).collect()
    }
}
