//! `lag-truth`: people are told once when a group is behind, and once when it has caught up.
//!
//! Behind is a group for which a message has stood in the log for too long without being settled, by what the broker
//! wrote and took; told is what a pager booked. How long is too long, the user of the property says.
//!
//! Reading order: `backlog` is what a group has not settled, at every moment.

mod backlog;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::alarm_state::follow;
use super::alarms::Pager;
use super::breach::judge;
use super::{Property, Verdict};
use crate::history::History;

use backlog::Backlog;

/// The pager is told that a group is behind while it is, and only then: once, and once more when it has caught up.
///
/// An alarm that is due has to come within a time that is counted from the moment at which it is due, or from the end of
/// all faults. That the group has caught up has to be told once it has settled everything, and must not be while it is
/// behind; in between, a system may do either.
///
/// ```
/// use std::time::Duration;
///
/// use stormglass::checker::LagTruth;
///
/// let five_minutes = Duration::from_secs(300);
/// LagTruth::new("pager", "ConsumerLag").group("billing", five_minutes).within(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct LagTruth {
    pager: Pager,
    groups: BTreeMap<String, Duration>,
    within: Duration,
}

impl LagTruth {
    /// Alarms of this name that the third party `pager` gets, in the form of Alertmanager's webhook with the consumer
    /// group as the label `group`. They come within ten seconds unless another time is given.
    pub fn new(pager: &str, alert: &str) -> Self {
        LagTruth {
            pager: Pager {
                provider: pager.to_owned(),
                alert: alert.to_owned(),
            },
            groups: BTreeMap::new(),
            within: Duration::from_secs(10),
        }
    }

    /// From how long a wait on an alarm about this group is due; alarms about groups that are not named are not judged.
    #[must_use]
    pub fn group(mut self, name: &str, waiting: Duration) -> Self {
        self.groups.insert(name.to_owned(), waiting);
        self
    }

    /// How late an alarm may be.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        LagTruth { within, ..self }
    }
}

impl Property for LagTruth {
    fn id(&self) -> &str {
        "lag-truth"
    }

    fn promise(&self) -> &str {
        "people are told once when a group is behind, and once when it has caught up"
    }

    fn check(&self, history: &History) -> Verdict {
        let groups = history.description.groups.iter();
        let declared = groups.filter_map(|(name, group)| {
            let waiting = *self.groups.get(name)?;
            Some(Backlog::new(history, (name, group), waiting, self.within))
        });
        let mut backlogs: Vec<Backlog<'_>> = declared.collect();
        let breaches: Vec<_> = backlogs
            .iter_mut()
            .filter_map(|backlog| follow(history, &self.pager, backlog))
            .collect();
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if backlogs.iter().any(|backlog| backlog.was_behind) {
            return Verdict::Holds;
        }
        Verdict::Vacuous("no group that is to be watched was ever behind".to_owned())
    }
}
