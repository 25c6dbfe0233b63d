//! `dlq-replay`: what an operator has published again takes effect once, in its entity's order.
//!
//! A replay is a copy of a parked event that says so in a header. What it does at groups that had not parked the event is
//! for `effect-once`; whether everything that is parked is ever replayed is for operators.
//!
//! Reading order: `cases` which parked event was replayed for which group; every other file is one rule.

mod applied_again;
mod cases;
mod dropped;
mod ignored;
mod overtakes;
#[cfg(test)]
mod tests;

use super::breach::judge;
use super::trail::Trails;
use super::{Property, Verdict};
use crate::history::History;

use cases::Cases;

/// Of an event that a group had parked and somebody published again for it: the group applies it once, not ahead of an
/// earlier event of its entity that is still parked; the broker does not take the copy for one that it has; and the group
/// does not settle it without effect, unless the copy is poison to it or an earlier parked event is in its way.
///
/// ```
/// use stormglass::checker::{DlqReplay, Property};
///
/// assert_eq!(DlqReplay::default().id(), "dlq-replay");
/// assert_eq!(DlqReplay::marked_by("redriven").id(), "dlq-replay");
/// ```
#[derive(Clone, Debug)]
pub struct DlqReplay {
    header: String,
}

impl Default for DlqReplay {
    /// Copies with the header `replay`.
    fn default() -> Self {
        DlqReplay::marked_by("replay")
    }
}

impl DlqReplay {
    /// Copies that carry this header are replays.
    pub fn marked_by(header: &str) -> Self {
        let header = header.to_owned();
        DlqReplay { header }
    }
}

impl Property for DlqReplay {
    fn id(&self) -> &str {
        "dlq-replay"
    }

    fn promise(&self) -> &str {
        "a replayed event is applied once, in its entity's order"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let cases = Cases::of(&trails, &self.header);
        let mut breaches = applied_again::breaches(&cases);
        breaches.extend(overtakes::breaches(&cases));
        breaches.extend(ignored::breaches(&cases));
        breaches.extend(dropped::breaches(&trails, &cases));
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if cases.replayed().next().is_some() {
            return Verdict::Holds;
        }
        Verdict::Vacuous("nothing that was parked was replayed".to_owned())
    }
}
