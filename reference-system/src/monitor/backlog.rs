//! The backlog of a service: how long committed events may wait to be published before people are told.
//!
//! It needs rows that are written with the change and marked once they are sent. Whoever publishes after the commit and
//! keeps no such rows has nothing that could be measured: what was never published is seen by nobody.

use std::time::Duration;

use crate::alert::{Alert, Judgement};
use crate::relay::Backlog;

/// The alert's name.
pub const UNPUBLISHED_EVENTS: &str = "UnpublishedEvents";

/// The alert of a service.
pub(super) fn alert(service: &str) -> Alert {
    Alert {
        name: UNPUBLISHED_EVENTS,
        group: service.to_owned(),
    }
}

/// How long an event may wait to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogThreshold {
    /// From how long a wait on the alert fires. It is over once no event has waited for half as long.
    pub waiting: Duration,
}

impl Default for BacklogThreshold {
    /// A minute: what people wait for is published within a second, and a broker is restarted within half a minute.
    fn default() -> Self {
        Self {
            waiting: Duration::from_secs(60),
        }
    }
}

impl BacklogThreshold {
    /// What a measurement means.
    #[must_use]
    pub fn judge(&self, backlog: Backlog) -> Judgement {
        let Backlog {
            rows,
            age,
            withheld,
        } = backlog;
        let seconds = age.as_secs_f64();
        let summary = format!(
            "{rows} events are not published, the oldest for {seconds:.1} s; {withheld} are withheld"
        );
        Judgement::of_wait(age, self.waiting, summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_at_the_threshold_and_is_over_below_half_of_it() {
        let judge = |seconds| {
            BacklogThreshold::default().judge(Backlog {
                rows: 7,
                age: Duration::from_secs(seconds),
                withheld: 1,
            })
        };
        let summary = "7 events are not published, the oldest for 60.0 s; 1 are withheld";
        assert_eq!(judge(60), Judgement::Wrong(summary.to_owned()));
        assert_eq!(judge(59), Judgement::Undecided);
        assert_eq!(judge(30), Judgement::Undecided);
        assert!(matches!(judge(29), Judgement::Right(_)));
        assert!(matches!(judge(0), Judgement::Right(_)));
    }
}
