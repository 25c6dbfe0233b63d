//! Parked again: each copy of a poison event is parked once, unless something befell who parked it.

use std::collections::BTreeSet;

use super::case::Case;
use crate::checker::breach::Breach;
use crate::checker::trail::{Parked, Published};

/// The poison was parked more often than what happened explains: once for every copy that somebody
/// was handed, once more for every handling that was interrupted after the first park or that lost the
/// poison to another host and parked it all the same, and for every trouble of the host that parked it.
pub(super) fn breach<'h>(case: &Case<'_, 'h>) -> Option<Breach<'h>> {
    let parks: Vec<&Parked<'h>> = case.trail.parked_by(case.group).collect();
    let first = parks.first()?.published.index;
    let own = case.positions();
    let explained = |nth: usize| {
        let until = parks[nth].published.index;
        // A parked copy may be tried again straight from the dead letter topic.
        let handed = case.trail.handled.iter().filter(|handling| {
            handling.index < until
                && (own.contains(handling.position)
                    || *handling.position.topic == *case.dead_letters)
        });
        let copies: BTreeSet<_> = handed.map(|handling| handling.position).collect();
        let interrupted = case.handlings.iter().filter(|handling| {
            (first..until).contains(&handling.over) && case.was_interrupted(handling)
        });
        let unaware: BTreeSet<u64> = parks[..=nth]
            .iter()
            .filter_map(|park| lost_before(case, &park.published))
            .filter(|index| *index < first)
            .collect();
        let troubled = parks[..=nth].windows(2).filter(|pair| {
            let [from, to] = [pair[0].published, pair[1].published];
            let hosts = [from.host, to.host];
            hosts
                .iter()
                .any(|host| case.troubles.between(host, from.index, to.index))
        });
        copies.len() + interrupted.count() + unaware.len() + troubled.count()
    };
    let again = (1..parks.len()).find(|&nth| nth >= explained(nth))?;
    let (group, name) = (case.group, case.trail.name());
    let summary = format!("{group} parked poison {name} again without an interruption");
    Some(case.breach("parked-again", parks[again].published.index, summary))
}

/// The handling in which a host parks what another host has been handed by then, because it was
/// interrupted and does not know.
fn lost_before<'h>(case: &Case<'_, 'h>, park: &Published<'h>) -> Option<u64> {
    let mut latest_first = case.handlings.iter().rev();
    let own =
        latest_first.find(|handling| handling.host == park.host && handling.index < park.index)?;
    let is_elsewhere = case
        .handlings
        .iter()
        .any(|other| other.host != own.host && (own.index..park.index).contains(&other.index));
    (own.over < park.index && is_elsewhere && case.was_interrupted(own)).then_some(own.index)
}
