//! Lanes: where each event happened.
//!
//! Hosts come first, in the order in which they appear, then partitions and databases by name.

use std::collections::BTreeSet;

use stormglass_reports::story::{Lane, LaneKind};

use crate::history::{Event, History, What};
use crate::message::Position;

/// The lanes of a run, from top to bottom.
pub(super) struct Lanes {
    list: Vec<Lane>,
}

impl Lanes {
    pub(super) fn of(history: &History) -> Self {
        let mut hosts: Vec<&str> = Vec::new();
        let (mut partitions, mut databases) = (BTreeSet::new(), BTreeSet::new());
        for event in &history.events {
            if !hosts.contains(&&*event.host) {
                hosts.push(&event.host);
            }
            if let What::Published { position, .. } = &event.what {
                partitions.insert((position.topic.to_string(), position.partition));
            }
            databases.extend(database(&event.what));
        }
        let lane = |name: String, kind| Lane { name, kind };
        let hosts = hosts
            .into_iter()
            .map(|own| lane(own.to_owned(), LaneKind::Host));
        let partitions = partitions
            .into_iter()
            .map(|(topic, partition)| lane(format!("{topic}/{partition}"), LaneKind::Partition));
        let databases = databases
            .into_iter()
            .map(|own| lane(own.to_owned(), LaneKind::Database));
        Lanes {
            list: hosts.chain(partitions).chain(databases).collect(),
        }
    }

    pub(super) fn into_list(self) -> Vec<Lane> {
        self.list
    }

    /// The lane of an event: its database's, where it is about one, and otherwise its host's.
    pub(super) fn lane_of(&self, event: &Event) -> usize {
        match database(&event.what) {
            Some(database) => self.place(database, LaneKind::Database),
            None => self.host(&event.host),
        }
    }

    pub(super) fn host(&self, name: &str) -> usize {
        self.place(name, LaneKind::Host)
    }

    pub(super) fn partition(&self, position: &Position) -> usize {
        let name = format!("{}/{}", position.topic, position.partition);
        self.place(&name, LaneKind::Partition)
    }

    fn place(&self, name: &str, kind: LaneKind) -> usize {
        let mut lanes = self.list.iter();
        let place = lanes.position(|own| own.kind == kind && own.name == name);
        place.unwrap_or_default()
    }
}

fn database(what: &What) -> Option<&str> {
    match what {
        What::Committed { database }
        | What::RolledBack { database, .. }
        | What::StatementFailed { database, .. }
        | What::Observed { database, .. }
        | What::FinalState { database, .. } => Some(database),
        _ => None,
    }
}
