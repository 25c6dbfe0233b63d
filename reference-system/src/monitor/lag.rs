//! The lag of a consumer group: how many messages it has not settled, and how long the first of them has been there.
//!
//! It is asked of the broker and not of the group, so that a group of which nobody is left is behind as well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::course::{Course, Status};
use crate::alert::{Alert, Judgement};
use crate::ports::broker::{BrokerError, Standings};

/// The alert's name.
pub const CONSUMER_LAG: &str = "ConsumerLag";

/// How long messages may wait for a group whose work people wait for.
pub const REAL_TIME: Duration = Duration::from_secs(5 * 60);
/// How long they may wait for a group that works in batches.
pub const BATCH: Duration = Duration::from_secs(60 * 60);

/// A group, what it reads, and how long a message may wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagThreshold {
    /// The group, which is also the name of its consumer.
    pub group: &'static str,
    /// The topics that it reads.
    pub topics: Vec<&'static str>,
    /// From how long a wait on the alert fires. It is over once no message has waited for half as long.
    pub waiting: Duration,
}

impl LagThreshold {
    /// The alert of the group.
    pub(super) fn alert(&self) -> Alert {
        Alert {
            name: CONSUMER_LAG,
            group: self.group.to_owned(),
        }
    }

    /// What a measurement means.
    #[must_use]
    pub fn judge(&self, lag: Lag) -> Judgement {
        let Lag {
            unread,
            waiting,
            status,
        } = lag;
        let (seconds, status) = (waiting.as_secs_f64(), status.word());
        let summary =
            format!("{unread} messages are unread, the first for {seconds:.1} s: {status}");
        Judgement::of_wait(waiting, self.waiting, summary)
    }
}

/// How far behind a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Messages that it has not settled.
    pub unread: u64,
    /// How long the first of them has been there, of any partition.
    pub waiting: Duration,
    /// Its course in the partition in which it does worst.
    pub status: Status,
}

/// The lags of groups, and what is remembered for them.
pub(super) struct Lags {
    standings: Arc<dyn Standings>,
    /// By group, topic and partition.
    courses: BTreeMap<(&'static str, String, u32), Course>,
}

impl Lags {
    pub(super) fn new(standings: Arc<dyn Standings>) -> Self {
        Self {
            standings,
            courses: BTreeMap::new(),
        }
    }

    /// Looks at a group.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn measure(&mut self, of: &LagThreshold) -> Result<Lag, BrokerError> {
        let mut lag = Lag {
            unread: 0,
            waiting: Duration::ZERO,
            status: Status::Ok,
        };
        let now = Instant::now();
        for standing in self.standings.standing(of.group, &of.topics).await? {
            let place = (of.group, standing.topic.clone(), standing.partition);
            let course = self.courses.entry(place).or_default();
            lag.unread += standing.unread;
            lag.waiting = lag.waiting.max(standing.waiting.unwrap_or_default());
            lag.status = lag.status.max(course.look(&standing, now));
        }
        Ok(lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_at_the_threshold_and_is_over_below_half_of_it() {
        let threshold = LagThreshold {
            group: "payment",
            topics: vec!["orders"],
            waiting: Duration::from_secs(300),
        };
        let judge = |seconds| {
            threshold.judge(Lag {
                unread: 12,
                waiting: Duration::from_secs(seconds),
                status: Status::Stop,
            })
        };
        let summary = "12 messages are unread, the first for 300.0 s: STOP".to_owned();
        assert_eq!(judge(300), Judgement::Wrong(summary));
        assert_eq!(judge(299), Judgement::Undecided);
        assert_eq!(judge(150), Judgement::Undecided);
        assert!(matches!(judge(149), Judgement::Right(_)));
        assert!(matches!(judge(0), Judgement::Right(_)));
    }
}
