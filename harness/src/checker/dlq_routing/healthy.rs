//! Healthy: what can be handled is never parked, however often something else fails.

use super::Scene;
use super::case::parked_at;
use crate::checker::breach::Breach;
use crate::history::Settlement;

/// Events that were parked although nothing was wrong with them, and nothing that they would have
/// overtaken was parked.
pub(in crate::checker) fn breaches<'h>(scene: &Scene<'_, 'h>) -> Vec<Breach<'h>> {
    let trails = scene.trails;
    let breaches = trails.parkings().filter_map(|(trail, group)| {
        let number = trails.number_of(trail.event_id)?;
        if trail.published.is_empty() || scene.is_poison(number, group) {
            return None;
        }
        let parked_at = parked_at(trails, trail, group)?;
        (!scene.blocks.hold_up(number, trail, group, parked_at)).then(|| {
            let first = trail.parked_by(group).next();
            let index = first.map_or(parked_at, |parked| parked.published.index);
            let summary = format!("{group} parked {}, which was not poison", trail.name());
            Breach::of(trail.event_id, Some(group), index, summary).by_rule("healthy-parked")
        })
    });
    breaches.collect()
}

/// Whether a consumer may have been tempted to park a healthy event: it gave one back, or something
/// befell it while it had one in hand.
pub(in crate::checker) fn was_tempted(scene: &Scene<'_, '_>) -> bool {
    let groups = &scene.trails.history.description.groups;
    scene
        .trails
        .trails
        .iter()
        .enumerate()
        .any(|(number, trail)| {
            let mut handled = trail.handled.iter();
            handled.any(|handling| {
                let group = groups.get(handling.group);
                !scene.is_poison(number, handling.group)
                    && group.is_some_and(|group| {
                        group.dead_letters.is_some()
                            && group.wants(&handling.position.topic, trail.event_type())
                    })
                    && (handling.is_settled_by(Settlement::Retry)
                        || scene
                            .troubles
                            .struck(handling.host, handling.index, handling.over))
            })
        })
}
