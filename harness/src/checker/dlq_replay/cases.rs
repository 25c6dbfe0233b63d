//! Cases: one parked event at one group, and the copies that were published again since it was parked.

use crate::checker::breach::Breach;
use crate::checker::trail::{Published, Trail, Trails};
use crate::history::{History, What};
use crate::message::{POISON, Position};

/// A parked event at one group.
pub(super) struct Case<'t, 'h> {
    pub(super) trail: &'t Trail<'h>,
    pub(super) group: &'h str,
    /// Where it was first parked.
    pub(super) parked_at: u64,
    /// Where the group first applied or discarded it after that.
    pub(super) ended_at: Option<u64>,
    /// Its copies since then that say they are replays.
    pub(super) replays: Vec<Published<'h>>,
}

impl<'t, 'h> Case<'t, 'h> {
    fn of(trail: &'t Trail<'h>, group: &'h str, header: &str) -> Option<Self> {
        let parked_at = trail.parked_by(group).next()?.published.index;
        let ends = trail.applied.iter().chain(&trail.discarded);
        let own = ends.filter(|end| end.consumer == group && end.index > parked_at);
        let replays = trail
            .published
            .iter()
            .filter(|copy| copy.index > parked_at && copy.message.headers.contains_key(header));
        Some(Case {
            trail,
            group,
            parked_at,
            ended_at: own.map(|end| end.index).min(),
            replays: replays.copied().collect(),
        })
    }

    /// Whether it is parked, and neither applied nor discarded since, at an event of the history.
    pub(super) fn is_parked_at(&self, index: u64) -> bool {
        self.parked_at < index && self.ended_at.is_none_or(|ended| ended > index)
    }

    pub(super) fn breach(&self, rule: &'static str, index: u64, summary: String) -> Breach<'h> {
        Breach::of(self.trail.event_id, Some(self.group), index, summary).by_rule(rule)
    }
}

/// Every parked event at every group that parked it.
pub(super) struct Cases<'t, 'h> {
    pub(super) history: &'h History,
    pub(super) all: Vec<Case<'t, 'h>>,
}

impl<'t, 'h> Cases<'t, 'h> {
    pub(super) fn of(trails: &'t Trails<'h>, header: &str) -> Self {
        let parkings = trails.parkings();
        Cases {
            history: trails.history,
            all: parkings
                .filter_map(|(trail, group)| Case::of(trail, group, header))
                .collect(),
        }
    }

    /// Those that somebody published again.
    pub(super) fn replayed(&self) -> impl Iterator<Item = &Case<'t, 'h>> {
        self.all.iter().filter(|case| !case.replays.is_empty())
    }

    /// An event that its group parked before another one of the same entity, and that is still parked at an event of the
    /// history.
    pub(super) fn ahead_of(&self, case: &Case<'t, 'h>, index: u64) -> Option<&Case<'t, 'h>> {
        self.all.iter().find(|other| {
            other.group == case.group
                && other.trail.entity() == case.trail.entity()
                && other.parked_at < case.parked_at
                && other.is_parked_at(index)
        })
    }

    /// Whether a group cannot read a copy.
    pub(super) fn is_poison(&self, copy: &Published<'h>, group: &str) -> bool {
        let is_made_poison = |position: &Position| {
            self.history.events.iter().any(|event| {
                matches!(&event.what, What::MadePoison { group: own, position: other }
                    if **own == *group && other == position)
            })
        };
        copy.message.payload == POISON || is_made_poison(copy.position)
    }
}
