//! Unread: what consumers did with versions that they cannot read.

use std::collections::BTreeSet;

use super::{Reader, Schema};
use crate::checker::breach::Breach;
use crate::checker::dlq_routing::{case, whole};
use crate::checker::trail::{Handling, Published, Trail, Trails};
use crate::message::Message;

/// What consumers did.
#[derive(Default)]
pub(super) struct Unread<'h> {
    pub(super) breaches: Vec<Breach<'h>>,
    pub(super) is_tested: bool,
}

pub(super) fn judge<'h>(schema: &Schema, trails: &Trails<'h>) -> Unread<'h> {
    let mut unread = Unread::default();
    for reader in &schema.readers {
        let cases = cases(reader, trails);
        let met: BTreeSet<u32> = cases.iter().map(|case| case.version).collect();
        let counts = |case: &&Case<'_, 'h>| !case.is_readable() || met.len() > 1;
        for case in cases.iter().filter(counts) {
            unread.is_tested = true;
            unread.breaches.extend(case.guessed());
            unread.breaches.extend(case.dropped());
            unread.breaches.extend(case.without_reason());
        }
    }
    unread
}

/// An event that a group was handed in a version.
struct Case<'t, 'h> {
    reader: &'t Reader,
    trails: &'t Trails<'h>,
    trail: &'t Trail<'h>,
    group: &'h str,
    version: u32,
    /// Never empty.
    handlings: Vec<&'t Handling<'h>>,
}

fn cases<'t, 'h>(reader: &'t Reader, trails: &'t Trails<'h>) -> Vec<Case<'t, 'h>> {
    let mut groups = trails.groups();
    let Some((group, _)) = groups.find(|(name, _)| *name == reader.group) else {
        return Vec::new();
    };
    let own = trails.trails.iter();
    let own = own.filter(|trail| trail.event_type() == reader.event_type);
    let cases = own.filter_map(|trail| {
        let handlings: Vec<_> = trail.handled_by(group).collect();
        let copy = trail.published.first()?;
        (!handlings.is_empty()).then_some(Case {
            reader,
            trails,
            trail,
            group,
            version: copy.message.schema_version()?,
            handlings,
        })
    });
    cases.collect()
}

impl<'h> Case<'_, 'h> {
    /// Whether a host could read the version at some time.
    fn can_read(&self, host: &str, index: u64) -> bool {
        let starts = self.trails.starts.up_to(host, index).max(1);
        let starts = u32::try_from(starts).unwrap_or(u32::MAX);
        (self.reader.versions)(starts).contains(&self.version)
    }

    /// Whether everybody could read it who was handed it.
    fn is_readable(&self) -> bool {
        let mut handlings = self.handlings.iter();
        handlings.all(|handling| self.can_read(handling.host, handling.index))
    }

    fn name(&self) -> String {
        format!("version {} of {}", self.version, self.trail.name())
    }

    fn breach(&self, rule: &'static str, index: u64, summary: String) -> Breach<'h> {
        Breach::of(self.trail.event_id, Some(self.group), index, summary).by_rule(rule)
    }

    /// An instance took an effect from what it cannot read: something stood in for what it did not find.
    fn guessed(&self) -> Option<Breach<'h>> {
        let mut applied = self.trail.applied.iter();
        let guessed = applied.find(|effect| {
            effect.consumer == self.group && !self.can_read(effect.host, effect.index)
        })?;
        let summary = format!(
            "{} applied {}, which it cannot read",
            guessed.host,
            self.name()
        );
        Some(self.breach("guessed", guessed.index, summary))
    }

    /// It was acknowledged and is nowhere.
    fn dropped(&self) -> Option<Breach<'h>> {
        let (trail, group) = (self.trail, self.group);
        if trail.applied_by(group).is_some() || trail.discarded_by(group).is_some() {
            return None;
        }
        let parked_at = case::parked_at(self.trails, trail, group);
        let dropped = self.handlings.iter().filter_map(|handling| {
            let acknowledgements = &self.trails.acknowledgements;
            let settled = acknowledgements.settling(group, handling.position)?.index;
            let is_parked = parked_at.is_some_and(|at| at < settled);
            (!is_parked && handling.index < settled).then_some(settled)
        });
        let index = dropped.min()?;
        let summary = format!("{group} acknowledged {} without parking it", self.name());
        Some(
            self.breach("dropped", index, summary)
                .inevitable_from(index),
        )
    }

    /// It is parked, and nobody who looks at it is told why.
    fn without_reason(&self) -> Option<Breach<'h>> {
        let original = self.trail.published.first()?;
        let mut parked = self.trail.parked_by(self.group);
        let silent = parked.find(|own| !tells_why(original, own.published.message))?;
        let summary = format!("{} parked {} without saying why", self.group, self.name());
        Some(self.breach("without-reason", silent.published.index, summary))
    }
}

fn tells_why(original: &Published<'_>, parked: &Message) -> bool {
    let mut added = parked.headers.keys();
    added.any(|name| !original.message.headers.contains_key(name) && whole::tells_why(name))
}
