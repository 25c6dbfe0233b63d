//! Placements: something known about each position of the log, looked up by position.
//!
//! It holds what a checker puts in, and judges nothing.

use std::collections::BTreeMap;

use crate::message::Position;

/// A map from positions, two levels deep so that a lookup compares few texts.
#[derive(Debug)]
pub(super) struct Placements<'h, T> {
    topics: BTreeMap<&'h str, BTreeMap<(u32, u64), T>>,
}

impl<'h, T> Placements<'h, T> {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Placements {
            topics: BTreeMap::new(),
        }
    }

    /// What is known about a position.
    pub(super) fn get(&self, position: &Position) -> Option<&T> {
        self.topics
            .get(&*position.topic)?
            .get(&(position.partition, position.offset))
    }

    /// Notes something; gives back what was known before.
    pub(super) fn insert(&mut self, position: &'h Position, known: T) -> Option<T> {
        self.topics
            .entry(&position.topic)
            .or_default()
            .insert((position.partition, position.offset), known)
    }

    /// What is known about one partition, by offset.
    pub(super) fn partition(&self, topic: &str, partition: u32) -> impl Iterator<Item = (u64, &T)> {
        self.topics
            .get(topic)
            .into_iter()
            .flat_map(move |known| known.range((partition, 0)..=(partition, u64::MAX)))
            .map(|(&(_, offset), known)| (offset, known))
    }

    /// Every partition about which something is known.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (&'h str, u32)> {
        self.topics.iter().flat_map(|(&topic, known)| {
            let mut last = None;
            known.keys().filter_map(move |&(partition, _)| {
                let first_of_partition = last != Some(partition);
                last = Some(partition);
                first_of_partition.then_some((topic, partition))
            })
        })
    }
}
