//! Cases: one poison event at one group, with everything that the rules about it look at.

use std::collections::BTreeSet;

use super::Scene;
use crate::attempts::Attempts;
use crate::checker::breach::Breach;
use crate::checker::trail::{Handling, Trail, Trails};
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
/// probe shows it, and otherwise what the consumer committed before it acknowledged, if a parked
/// copy came after. Where the group was handed copies that differ, that is the copy which the parked
/// one repeats: another may have been applied.
pub(super) fn parked_at<'h>(trails: &Trails<'h>, trail: &Trail<'h>, group: &str) -> Option<u64> {
    let description = trails.history.description.groups.get(group)?;
    let dead_letters = description.dead_letters.as_deref()?;
    let first = trail.parked_by(group).next();
    let published = first.map(|parked| parked.published.index);
    let announced = trail.announced.iter();
    let announced = announced.filter(|seen| seen.announcement.topic == dead_letters);
    let repeats = |handling: &&Handling<'h>| {
        first.is_some_and(|parked| trail.is_repeated(handling.position, &parked.published))
    };
    let is_told_apart = trail.handled_by(group).any(|handling| repeats(&handling));
    let handled = trail.handled_by(group);
    let handled = handled.filter(|handling| !is_told_apart || repeats(handling));
    let committed = handled.filter_map(|handling| {
        let settled = handling.settled?.index;
        let relayed = published.is_some_and(|published| settled < published);
        let acknowledged = relayed && handling.is_settled_by(Settlement::Ack);
        let mut commits = acknowledged.then_some(&trails.commits).into_iter();
        commits.find_map(|commits| commits.between(handling.host, handling.index, settled))
    });
    let announced = announced.map(|seen| seen.index);
    published
        .into_iter()
        .chain(announced)
        .chain(committed)
        .min()
}
