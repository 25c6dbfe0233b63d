//! `dlq-alert-truth`: people are told once when too much is parked, and once when that is over.
//!
//! Parked is what stands in a group's dead letter topic and was neither applied nor discarded since; told is what a
//! pager booked. How much is too much, the user of the property says.
//!
//! Reading order: `depth` is how much a group has parked, at every moment.

mod depth;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::alarm_state::follow;
use super::alarms::Pager;
use super::breach::judge;
use super::{Property, Verdict};
use crate::history::History;

use depth::Depth;

/// How much a group may have parked: an alarm is due from either figure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthThreshold {
    /// Events that are parked.
    pub parked: usize,
    /// Those among them that were parked within the window.
    pub lately: usize,
    /// How long ago counts as lately.
    pub window: Duration,
}

/// The pager is told that a group has too much parked while it has, and only then: once, and once more when that is over.
///
/// An alarm that is due has to come within a time that is counted from the moment at which it is due, or from the end of
/// all faults. That it is over has to be told once nothing is parked any more, and must not be while too much is; in
/// between, a system may do either.
///
/// ```
/// use std::time::Duration;
///
/// use stormglass::checker::{DepthThreshold, DlqAlertTruth};
///
/// let hundreds_an_hour = DepthThreshold { parked: 500, lately: 100, window: Duration::from_secs(3600) };
/// DlqAlertTruth::new("pager", "ParkedEvents").group("billing", hundreds_an_hour);
/// ```
#[derive(Clone, Debug)]
pub struct DlqAlertTruth {
    pager: Pager,
    groups: BTreeMap<String, DepthThreshold>,
    within: Duration,
}

impl DlqAlertTruth {
    /// Alarms of this name that the third party `pager` gets, in the form of Alertmanager's webhook with the consumer
    /// group as the label `group`. They come within ten seconds unless another time is given.
    pub fn new(pager: &str, alert: &str) -> Self {
        DlqAlertTruth {
            pager: Pager {
                provider: pager.to_owned(),
                alert: alert.to_owned(),
            },
            groups: BTreeMap::new(),
            within: Duration::from_secs(10),
        }
    }

    /// How much this group may have parked; alarms about groups that are not named are not judged.
    #[must_use]
    pub fn group(mut self, name: &str, threshold: DepthThreshold) -> Self {
        self.groups.insert(name.to_owned(), threshold);
        self
    }

    /// How late an alarm may be.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        DlqAlertTruth { within, ..self }
    }
}

impl Property for DlqAlertTruth {
    fn id(&self) -> &str {
        "dlq-alert-truth"
    }

    fn promise(&self) -> &str {
        "people are told once when too much is parked, and once when that is over"
    }

    fn check(&self, history: &History) -> Verdict {
        let groups = history.description.groups.iter();
        let declared = groups.filter_map(|(name, group)| {
            let threshold = *self.groups.get(name)?;
            let dead_letters = group.dead_letters.as_deref()?;
            Some(Depth::new(name, dead_letters, threshold, self.within))
        });
        let mut depths: Vec<Depth<'_>> = declared.collect();
        let breaches = depths.iter_mut();
        let breaches: Vec<_> = breaches
            .filter_map(|depth| follow(history, &self.pager, depth))
            .collect();
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if depths.iter().any(|depth| depth.is_tried) {
            return Verdict::Holds;
        }
        Verdict::Vacuous("no group that is to be watched parked anything".to_owned())
    }
}
