//! Conditions: what befalls products and links for a time, each with the fault that did it, by its index in the plan.
//!
//! The nemesis sets them; servers and hooks, which see the calls, let them have their effect.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::lock;

/// What befalls products and links now.
#[derive(Default)]
pub(crate) struct Conditions(Mutex<State>);

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
    /// Whether the broker refuses every publish.
    pub(crate) capacity_limit: Option<usize>,
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
        *lock(&self.0) = state;
    }

    /// The fault because of which a third party cannot be reached.
    pub(crate) fn outage_of(&self, provider: &str) -> Option<usize> {
        lock(&self.0).outages.get(provider).copied()
    }

    /// The fault because of which a database cannot write.
    pub(crate) fn full_disk_of(&self, database: &str) -> Option<usize> {
        lock(&self.0).full_disks.get(database).copied()
    }

    /// The fault because of which a PostgreSQL server takes no new connections.
    pub(crate) fn used_up_at(&self, server: &str) -> Option<usize> {
        lock(&self.0).used_up.get(server).copied()
    }

    /// The fault because of which the broker refuses every publish.
    pub(crate) fn capacity_limit(&self) -> Option<usize> {
        lock(&self.0).capacity_limit
    }

    /// The faults that affect what is sent over a link.
    pub(crate) fn of_link(&self, from: &str, to: &str) -> Vec<usize> {
        let state = lock(&self.0);
        let links = state.links.iter();
        let struck = links.filter(|link| link.from == from && link.to == to);
        struck.map(|link| link.fault).collect()
    }
}
