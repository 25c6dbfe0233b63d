//! `dlq-routing`: what can never be handled is parked, whole and with its error, after the attempts
//! that were agreed on; what can be handled is never parked.
//!
//! An attempt is a delivery. Attempts that a consumer makes on its own within one delivery are not
//! seen. Groups that name no dead letter topic are not judged, nor are messages without an event
//! id, because nothing ties a parked one to its original.

mod handling;
mod routing;
#[cfg(test)]
mod tests;
mod trouble;

use super::breach::judge;
use super::trail::Trails;
use super::{Property, Verdict};
use crate::history::{History, SettleOutcome, Settlement, What};
use crate::message::{Message, POISON};

/// A poison event is parked after exactly the agreed number of attempts, with its id, key, headers
/// and payload and with the error; a healthy one is never parked; none is both parked and applied.
///
/// Poison are the events of which some copy carries [`POISON`], and those that the test declares
/// poison. Two excuses are made. A delivery that its consumer did not settle itself (crash, lost
/// lease, rebalance, refused settlement) uses up no attempt, nor does one that it gave back after
/// something else had failed: a statement or a call meanwhile, or its last publication. And an event
/// may be parked at once while an earlier one of its entity is parked and neither applied nor
/// discarded, because otherwise it would overtake that one.
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

    fn is_poison(&self, message: &Message) -> bool {
        message.payload == POISON || (self.poison)(message)
    }
}

impl Property for DlqRouting {
    fn id(&self) -> &str {
        "dlq-routing"
    }

    fn promise(&self) -> &str {
        "a poison event is parked whole and with its error after exactly N attempts, a healthy one \
         never"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let routing = routing::Routing::new(&trails, |message| self.is_poison(message));
        if let Some(broken) = judge(history, routing.breaches()) {
            return broken;
        }
        if routing.met_poison() || something_was_retried_or_parked(&trails) {
            return Verdict::Holds;
        }
        Verdict::Vacuous(
            "no poison message was delivered, and nothing was retried or parked".to_owned(),
        )
    }
}

/// Whether a group that has a dead letter topic was ever tempted to use it.
fn something_was_retried_or_parked(trails: &Trails<'_>) -> bool {
    let groups = &trails.history.description.groups;
    let tempted = |group: &str| {
        groups
            .get(group)
            .is_some_and(|group| group.dead_letters.is_some())
    };
    trails.history.events.iter().any(|event| match &event.what {
        What::Settled {
            group,
            settlement: Settlement::Retry,
            outcome: SettleOutcome::Accepted,
            ..
        } => tempted(group),
        What::Published { position, .. } => trails.is_dead_letters(&position.topic),
        _ => false,
    })
}
