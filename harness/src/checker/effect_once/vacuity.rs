//! Vacuity: whether a run put the promise to the test at all.
//!
//! A redelivery before anything was done with the event tempts nobody to do it twice.

use std::collections::BTreeMap;

use crate::checker::trail::{Handling, Trail, Trails};
use crate::checker::trouble::Troubles;

/// Whether some group that wants an event could have applied it twice.
pub(super) fn was_tempted(trails: &Trails<'_>) -> bool {
    let troubles = Troubles::of(trails.history);
    trails
        .trails
        .iter()
        .any(|trail| is_tempting(trails, trail, &troubles))
}

/// Whether a group was handed the event again after it was done with it, or after a first handling
/// that may have got half-way, or while somebody else was handling it.
fn is_tempting(trails: &Trails<'_>, trail: &Trail<'_>, troubles: &Troubles<'_>) -> bool {
    let mut by_group: BTreeMap<&str, Vec<&Handling<'_>>> = BTreeMap::new();
    for handling in &trail.handled {
        let (group, topic) = (handling.group, &*handling.position.topic);
        let description = trails.history.description.groups.get(group);
        let wanted = description.is_none_or(|own| own.wants(topic, trail.event_type()));
        if wanted && !trails.is_dead_letters(topic) {
            by_group.entry(group).or_default().push(handling);
        }
    }
    by_group.iter().any(|(group, handlings)| {
        let ends = trail.applied.iter().chain(&trail.discarded);
        let ends: Vec<u64> = ends
            .filter(|effect| effect.consumer == *group)
            .map(|effect| effect.index)
            .collect();
        let first_end = ends.iter().min().copied().unwrap_or(u64::MAX);
        let last = handlings.last().map_or(0, |handling| handling.index);
        let half_done = handlings.windows(2).any(|pair| {
            let [first, second] = pair else { return false };
            let raced = first.host != second.host && first_end != u64::MAX;
            raced || troubles.struck(first.host, first.index, second.index)
        });
        last > first_end || half_done
    })
}
