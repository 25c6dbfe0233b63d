//! Ignored: the group settled a replayed copy, and nothing came of it.

use super::cases::{Case, Cases};
use crate::checker::breach::Breach;
use crate::history::Settlement;

pub(super) fn breaches<'h>(cases: &Cases<'_, 'h>) -> Vec<Breach<'h>> {
    let replayed = cases.replayed();
    let open = replayed.filter(|case| case.ended_at.is_none());
    open.filter_map(|case| breach(cases, case)).collect()
}

fn breach<'h>(cases: &Cases<'_, 'h>, case: &Case<'_, 'h>) -> Option<Breach<'h>> {
    let settled = case.trail.handled_by(case.group).find(|handling| {
        let copy = case
            .replays
            .iter()
            .find(|copy| copy.position == handling.position);
        handling.is_settled_by(Settlement::Ack)
            && copy.is_some_and(|copy| !cases.is_poison(copy, case.group))
            && cases.ahead_of(case, handling.index).is_none()
            && !is_parked_again(case, handling.index)
    })?;
    let (group, name) = (case.group, case.trail.name());
    let summary = format!("{group} acknowledged replayed {name} without effect");
    Some(case.breach("ignored", settled.over, summary))
}

/// Whether the event went to the dead letter topic once more.
fn is_parked_again(case: &Case<'_, '_>, index: u64) -> bool {
    let mut parks = case.trail.parked_by(case.group);
    parks.any(|parked| parked.published.index > index)
}
