//! Overtakes: a replayed event took effect while an earlier one of its entity was still parked.
//!
//! Earlier is what was committed earlier, to the same database and for the same topic: no other events have an order.

use super::cases::{Case, Cases};
use crate::checker::breach::Breach;
use crate::checker::trail::Trail;

pub(super) fn breaches<'h>(cases: &Cases<'_, 'h>) -> Vec<Breach<'h>> {
    let replayed = cases.replayed();
    replayed
        .filter_map(|case| {
            let effects = case.trail.applied.iter();
            let mut own = effects.filter(|effect| {
                effect.consumer == case.group && effect.index > case.replays[0].index
            });
            let effect = own.next()?;
            let earlier = cases
                .all
                .iter()
                .find(|other| other.is_parked_at(effect.index) && is_predecessor(other, case))?;
            let (group, name) = (case.group, case.trail.name());
            let behind = earlier.trail.name();
            let summary = format!("{group} applied replayed {name} while {behind} was parked");
            let breach = case.breach("overtakes", effect.index, summary);
            Some(breach.and_about([earlier.trail.event_id]))
        })
        .collect()
}

/// Whether the group of both has to apply one before the other.
fn is_predecessor(one: &Case<'_, '_>, other: &Case<'_, '_>) -> bool {
    let place = |trail: &Trail<'_>| {
        let first = trail.announced.first()?;
        Some((
            first.index,
            first.database.to_owned(),
            trail.topic_of(first).to_owned(),
        ))
    };
    let (Some(own), Some(theirs)) = (place(one.trail), place(other.trail)) else {
        return false;
    };
    one.group == other.group
        && one.trail.entity() == other.trail.entity()
        && own.0 < theirs.0
        && (own.1, own.2) == (theirs.1, theirs.2)
}
