//! Marks: where events of one kind stand in a history, by the name of a host or a group.

use std::collections::BTreeMap;

/// Events of one kind, by name and in the order of the history.
#[derive(Debug, Default)]
pub(super) struct Marks<'h> {
    by_name: BTreeMap<&'h str, Vec<u64>>,
}

impl<'h> Marks<'h> {
    /// Notes an event that comes after all others.
    pub(super) fn add(&mut self, name: &'h str, index: u64) {
        self.by_name.entry(name).or_default().push(index);
    }

    /// The first event between two others.
    pub(super) fn between(&self, name: &str, from: u64, to: u64) -> Option<u64> {
        let indexes = self.by_name.get(name)?;
        let next = indexes.partition_point(|&index| index <= from);
        indexes.get(next).copied().filter(|&index| index < to)
    }

    /// How many there are up to an event.
    pub(super) fn up_to(&self, name: &str, index: u64) -> usize {
        let indexes = self.by_name.get(name).into_iter().flatten();
        indexes.take_while(|&&own| own <= index).count()
    }
}
