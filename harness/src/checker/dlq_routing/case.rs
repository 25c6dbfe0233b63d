//! Cases: one poison event at one group, with everything that the rules about it look at.

use std::collections::BTreeSet;

use super::Scene;
use crate::attempts::Attempts;
use crate::checker::breach::Breach;
use crate::checker::trail::{Handling, Published, Trail, Trails};
use crate::checker::trouble::Troubles;
use crate::history::Settlement;
use crate::message::Position;

/// A poison event that reached a group which wants it and has somewhere to park it.
pub(super) struct Case<'t, 'h> {
    pub(super) trails: &'t Trails<'h>,
    pub(super) troubles: &'t Troubles<'h>,
    pub(super) trail: &'t Trail<'h>,
    pub(super) group: &'h str,
    /// The group's dead letter topic.
    pub(super) dead_letters: &'h str,
    /// What the group promised.
    pub(super) attempts: Attempts,
    /// Never empty, in the order of delivery.
    pub(super) handlings: Vec<&'t Handling<'h>>,
    /// From where on nothing can lose the event any more, because it is parked.
    pub(super) parked_at: Option<u64>,
    /// Whether it had to be parked at once, behind another event of its entity.
    pub(super) is_blocked: bool,
}

impl<'t, 'h> Case<'t, 'h> {
    pub(super) fn of(scene: &'t Scene<'t, 'h>, number: usize, group: &'h str) -> Option<Self> {
        let (trails, trail) = (scene.trails, &scene.trails.trails[number]);
        let history = trails.history;
        let description = history.description.groups.get(group)?;
        let dead_letters = description.dead_letters.as_deref()?;
        let wanted = |handling: &&Handling<'h>| {
            description.wants(&handling.position.topic, trail.event_type())
        };
        let handlings: Vec<_> = trail.handled_by(group).filter(wanted).collect();
        let parked_at = parked_at(trails, trail, group);
        (!handlings.is_empty()).then(|| Case {
            trails,
            troubles: &scene.troubles,
            trail,
            group,
            dead_letters,
            attempts: description.attempts.unwrap_or(history.description.attempts),
            handlings,
            parked_at,
            is_blocked: parked_at.is_some_and(|at| scene.blocks.hold_up(number, trail, group, at)),
        })
    }

    /// The copies that the group was handed.
    pub(super) fn positions(&self) -> BTreeSet<&'h Position> {
        let handlings = self.handlings.iter();
        handlings.map(|handling| handling.position).collect()
    }

    /// Whether a handling failed, and nothing but the message itself can have been the cause.
    pub(super) fn failed(&self, handling: &Handling<'h>) -> bool {
        let settled = handling.settled.filter(|settled| !settled.is_untried);
        handling.is_settled_by(Settlement::Retry)
            && settled.is_some_and(|settled| {
                let (from, to) = (handling.index, settled.index);
                !self.troubles.between(handling.host, from, to)
            })
    }

    /// Whether something befell a handling before it was over, so that it may have to be repeated.
    pub(super) fn was_interrupted(&self, handling: &Handling<'h>) -> bool {
        let (from, to) = (handling.index, handling.over);
        !handling.is_settled_by(Settlement::Ack)
            && (self.troubles.between(handling.host, from, to)
                || self.troubles.rebalanced(self.group, from, to))
    }

    pub(super) fn breach(&self, rule: &'static str, index: u64, summary: String) -> Breach<'h> {
        Breach::of(self.trail.event_id, Some(self.group), index, summary).by_rule(rule)
    }
}

/// From where on nothing can lose an event any more that a group parks: its first parked copy, or
/// the commit of its way through a table. That is the announcement to the dead letter topic where a
/// probe shows it, and otherwise what the consumer committed, if a parked copy came after.
pub(in crate::checker) fn parked_at<'h>(
    trails: &Trails<'h>,
    trail: &Trail<'h>,
    group: &str,
) -> Option<u64> {
    let description = trails.history.description.groups.get(group)?;
    let dead_letters = description.dead_letters.as_deref()?;
    let parked = trail.parked_by(group).next().map(|own| &own.published);
    let announced = trail.announced.iter();
    let announced = announced.filter(|seen| seen.announcement.topic == dead_letters);
    let announced = announced.map(|seen| seen.index);
    let committed = parked.and_then(|parked| committed_at(trails, trail, group, parked));
    let published = parked.map(|parked| parked.index);
    published
        .into_iter()
        .chain(announced)
        .chain(committed)
        .min()
}

/// The commit with which a copy may have gone into a table that a relay parked it from: the last one in
/// a handling that was not given back, of a copy that was acknowledged before and not applied. Where
/// the group was handed copies that differ, it is one that the parked message repeats.
fn committed_at<'h>(
    trails: &Trails<'h>,
    trail: &Trail<'h>,
    group: &str,
    parked: &Published<'h>,
) -> Option<u64> {
    let repeats = |own: &Handling<'_>| trail.is_repeated(own.position, parked);
    let is_told_apart = trail.handled_by(group).any(repeats);
    let handled = trail.handled_by(group);
    let handled = handled.filter(|own| !is_told_apart || repeats(own));
    let handled = handled.filter(|own| !trail.came_to_effect(group, own.position));
    let handled: Vec<&Handling<'h>> = handled.collect();
    let commit_in = |own: &Handling<'h>| {
        let given_back = own.settled.map(|own| own.settlement) == Some(Settlement::Retry);
        let end = own.settled.map_or(own.over, |own| own.index);
        let commit = trails.commits.between(own.host, own.index, end);
        commit.filter(|_| !given_back)
    };
    let acknowledged = handled.iter().enumerate().filter(|(_, own)| {
        let settled = own.settled.map_or(u64::MAX, |own| own.index);
        own.is_settled_by(Settlement::Ack) && settled < parked.index
    });
    // Who finds that the event is parked already commits nothing more.
    let commits = acknowledged.filter_map(|(nth, own)| {
        let mut latest_first = handled[..=nth].iter().rev();
        latest_first
            .find_map(|earlier| commit_in(earlier).filter(|_| earlier.position == own.position))
    });
    commits.min()
}
