//! Vacuity: whether a run put the promise to the test at all.
//!
//! A redelivery before anything was done with the event tempts nobody to do it twice.

use std::collections::BTreeMap;

use crate::checker::trail::{Delivered, Trail, Trails};
use crate::history::What;

/// Whether some group that wants an event could have applied it twice.
pub(super) fn was_tempted(trails: &Trails<'_>) -> bool {
    let mishaps = Mishaps::of(trails);
    trails
        .trails
        .iter()
        .any(|trail| is_tempting(trails, trail, &mishaps))
}

/// Whether a group was handed the event again after it was done with it, or after a first handling
/// that may have got half-way, or while somebody else was handling it.
fn is_tempting(trails: &Trails<'_>, trail: &Trail<'_>, mishaps: &Mishaps<'_>) -> bool {
    let mut by_group: BTreeMap<&str, Vec<&Delivered<'_>>> = BTreeMap::new();
    for delivered in &trail.delivered {
        let (group, topic) = (delivered.group, &*delivered.position.topic);
        let description = trails.history.description.groups.get(group);
        let wanted = description.is_none_or(|own| own.wants(topic, trail.event_type()));
        if wanted && !trails.is_dead_letters(topic) {
            by_group.entry(group).or_default().push(delivered);
        }
    }
    by_group.iter().any(|(group, deliveries)| {
        let ends = trail.applied.iter().chain(&trail.discarded);
        let ends: Vec<u64> = ends
            .filter(|effect| effect.consumer == *group)
            .map(|effect| effect.index)
            .collect();
        let first_end = ends.iter().min().copied().unwrap_or(u64::MAX);
        let last = deliveries.last().map_or(0, |delivered| delivered.index);
        let half_done = deliveries.windows(2).any(|pair| {
            let [first, second] = pair else { return false };
            let raced = first.host != second.host && first_end != u64::MAX;
            raced || mishaps.between(first.host, first.index, second.index)
        });
        last > first_end || half_done
    })
}

/// What may have interrupted a host in the middle of its work, by index: a call to a third party that
/// was never answered is among it, because whoever made it cannot know what was done.
struct Mishaps<'h> {
    by_host: BTreeMap<&'h str, Vec<u64>>,
}

impl<'h> Mishaps<'h> {
    fn of(trails: &Trails<'h>) -> Self {
        let mut by_host: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for event in &trails.history.events {
            let interrupts = matches!(
                event.what,
                What::HostCrashed
                    | What::HostExited { .. }
                    | What::HostPaused { .. }
                    | What::RolledBack { .. }
                    | What::StatementFailed { .. }
                    | What::ExternalCalled {
                        answered: false,
                        ..
                    }
            );
            if interrupts {
                by_host.entry(&event.host).or_default().push(event.index);
            }
        }
        Mishaps { by_host }
    }

    fn between(&self, host: &str, from: u64, to: u64) -> bool {
        self.by_host.get(host).is_some_and(|indexes| {
            let next = indexes.partition_point(|&index| index <= from);
            indexes.get(next).is_some_and(|&index| index < to)
        })
    }
}
