//! Dropped: the broker took a replayed copy for the one that it had, so that nobody is handed it.
//!
//! What a producer sends again because it does not know of its success is recognised as well. So only copies count whose
//! first one was acknowledged long ago, before the event was parked, to a host that nothing has befallen since.

use super::cases::{Case, Cases};
use crate::checker::breach::Breach;
use crate::checker::placements::Placements;
use crate::checker::trail::Trails;
use crate::checker::trouble::Troubles;
use crate::history::What;
use crate::message::Position;

/// A publish that the broker recognised.
struct Recognised<'h> {
    index: u64,
    host: &'h str,
    position: &'h Position,
}

pub(super) fn breaches<'h>(trails: &Trails<'h>, cases: &Cases<'_, 'h>) -> Vec<Breach<'h>> {
    let (mut acknowledged, mut recognised) = (Placements::new(), Vec::new());
    for event in &trails.history.events {
        match &event.what {
            What::PublishAcknowledged { position, .. } if acknowledged.get(position).is_none() => {
                acknowledged.insert(position, (event.index, &*event.host));
            }
            What::PublishDeduplicated { position, .. } => recognised.push(Recognised {
                index: event.index,
                host: &event.host,
                position,
            }),
            _ => {}
        }
    }
    let troubles = Troubles::of(trails.history);
    let is_unasked_for = |case: &Case<'_, 'h>, copy: &Recognised<'h>| {
        acknowledged
            .get(copy.position)
            .is_some_and(|&(index, host)| {
                index < case.parked_at
                    && [host, copy.host]
                        .iter()
                        .all(|host| !troubles.between(host, index, copy.index))
            })
    };
    let open = cases.all.iter().filter(|case| case.ended_at.is_none());
    open.filter_map(|case| {
        let dropped = recognised.iter().find(|copy| {
            let mut copies = case.trail.published.iter();
            case.is_parked_at(copy.index)
                && copies.any(|own| own.position == copy.position)
                && is_unasked_for(case, copy)
        })?;
        let (group, name) = (case.group, case.trail.name());
        let summary = format!("the broker dropped the replay of {name}, which {group} has parked");
        Some(case.breach("dropped", dropped.index, summary))
    })
    .collect()
}
