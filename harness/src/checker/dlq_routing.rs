//! `dlq-routing`: what can never be handled is parked, whole and with its error, after the attempts
//! that were promised; what can be handled is never parked.
//!
//! An attempt is a delivery. Attempts that a consumer makes on its own within one delivery are not
//! seen. Groups that name no dead letter topic are not judged, nor are messages without an event
//! id, because nothing ties a parked one to its original.
//!
//! Reading order: `case` is one poison event at one group, `blocks` says what a parked event holds up;
//! every other file is one rule.

mod attempts;
mod blocks;
pub(super) mod case;
mod dropped;
pub(super) mod healthy;
mod parked_again;
#[cfg(test)]
mod tests;
pub(super) mod whole;

use std::collections::BTreeSet;

use self::blocks::Blocks;
use self::case::Case;
use super::breach::{Breach, judge};
use super::trail::{Trail, Trails};
use super::trouble::Troubles;
use super::{Property, Verdict};
use crate::history::{History, What};
use crate::message::{Message, POISON};

/// A poison event is parked after the promised number of [attempts](crate::Attempts), with its id, key,
/// headers and payload and with the error; a healthy one is never parked; none is both parked and
/// applied.
///
/// Poison are, for everybody, the events of which some copy carries [`POISON`] and those that the test
/// declares poison; and for one group alone those that a fault has made so for it. What uses up no attempt: a delivery that its consumer did not settle itself (crash, lost
/// lease, rebalance, refused settlement); one that it gave back when something else had befallen its
/// host meanwhile, or when its last publication had failed and none had been acknowledged since; and
/// one that it gave back right after another message, without having done anything in between, as with
/// the rest of a batch, or when its lease had run out and its host had done nothing since it came. An event may be parked at once while another event of its entity is parked and
/// neither applied nor discarded, because otherwise it would overtake that one; what counts is the last time that the group had
/// it in hand, or the first time that the broker did not take it for the dead letters.
///
/// Parking may go through a table that a relay publishes: the event counts as parked from a commit
/// on that its consumer made before it acknowledged, if a parked copy follows, or, whether one follows
/// or not, where a [probe](crate::database::Probe::announced) shows the row with the dead letter topic
/// as its topic.
///
/// Vacuous where no poison reached a group that parks; whether healthy events are parked in such a run
/// is for [`OnlyPoisonParked`](super::OnlyPoisonParked) as well.
#[derive(Clone, Copy, Debug)]
pub struct DlqRouting {
    poison: fn(&Message) -> bool,
}

impl Default for DlqRouting {
    fn default() -> Self {
        DlqRouting { poison: |_| false }
    }
}

impl DlqRouting {
    /// Also takes the messages for poison that `is_poison` picks out. A group that does apply such
    /// an event is taken not to mind.
    pub fn poison_if(is_poison: fn(&Message) -> bool) -> Self {
        DlqRouting { poison: is_poison }
    }
}

impl Property for DlqRouting {
    fn id(&self) -> &str {
        "dlq-routing"
    }

    fn promise(&self) -> &str {
        "a poison event is parked whole and with its error after the promised attempts, a healthy one \
         never"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let scene = Scene::of(&trails, self.poison);
        let cases = scene.cases();
        let of_cases = cases.iter().flat_map(|case| {
            let attempts = [attempts::too_many(case), attempts::too_few(case)];
            let others = [parked_again::breach(case), dropped::breach(case)];
            attempts.into_iter().chain(others).flatten()
        });
        let breaches = of_cases
            .chain(healthy::breaches(&scene))
            .chain(both_parked_and_applied(&trails))
            .chain(whole::breaches(&scene));
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if cases.is_empty() {
            let reason = "no poison message was delivered to a group that has dead letters";
            return Verdict::Vacuous(reason.to_owned());
        }
        Verdict::Holds
    }
}

/// For whom an event is poison.
enum Poison<'h> {
    /// For everybody who is handed it.
    ForAll,
    /// For these groups only, because of a fault.
    For(BTreeSet<&'h str>),
}

/// What the rules look at.
pub(super) struct Scene<'t, 'h> {
    trails: &'t Trails<'h>,
    pub(super) troubles: Troubles<'h>,
    /// By trail, for whom the event is poison.
    poison: Vec<Poison<'h>>,
    blocks: Blocks<'h>,
}

impl<'t, 'h> Scene<'t, 'h> {
    pub(super) fn of(trails: &'t Trails<'h>, declared: fn(&Message) -> bool) -> Self {
        let is_poison = |message: &Message| message.payload == POISON || declared(message);
        let poisoned = |trail: &Trail<'h>| {
            let mut copies = trail.published.iter();
            match copies.any(|copy| is_poison(copy.message)) {
                true => Poison::ForAll,
                false => Poison::For(BTreeSet::new()),
            }
        };
        let mut poison: Vec<_> = trails.trails.iter().map(poisoned).collect();
        for event in &trails.history.events {
            if let What::MadePoison { group, position } = &event.what
                && let Some(trail) = trails.at(position)
                && let Poison::For(groups) = &mut poison[trail]
            {
                groups.insert(group);
            }
        }
        Scene {
            trails,
            troubles: Troubles::of(trails.history),
            poison,
            blocks: Blocks::of(trails),
        }
    }

    /// Whether an event is poison for a group.
    fn is_poison(&self, trail: usize, group: &str) -> bool {
        match &self.poison[trail] {
            Poison::ForAll => true,
            Poison::For(groups) => groups.contains(group),
        }
    }

    /// Every poison event at every group that wants it and has somewhere to park it.
    fn cases(&self) -> Vec<Case<'_, 'h>> {
        let of_group = |number, group| {
            let is_poison = self.is_poison(number, group);
            is_poison.then(|| Case::of(self, number, group))?
        };
        (0..self.poison.len())
            .flat_map(|number| {
                let groups = self.trails.groups();
                groups.filter_map(move |(group, _)| of_group(number, group))
            })
            .collect()
    }
}

/// Events that ended twice at one group, in ways that exclude each other.
fn both_parked_and_applied<'h>(trails: &Trails<'h>) -> Vec<Breach<'h>> {
    let breaches = trails.parkings().filter_map(|(trail, group)| {
        let (parked, applied) = trails.parked_and_applied(trail, group)?;
        let summary = format!("{group} both parked and applied {}", trail.name());
        let index = parked.max(applied);
        Some(Breach::of(trail.event_id, Some(group), index, summary).by_rule("two-ends"))
    });
    breaches.collect()
}
