//! The course of a group in one partition: whether it keeps up, judged by its last steps and not by a threshold.
//!
//! The rules are Burrow's (<https://github.com/linkedin/Burrow/wiki/Consumer-Lag-Evaluation-Rules>). A step is what a
//! commit is there: a moment at which the group had come further, or was at work and had not.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::ports::broker::Standing;

/// How many steps are judged, as Burrow does unless told otherwise.
const STEPS: usize = 10;

/// What the course of a group is, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It keeps up, or catches up.
    Ok,
    /// It comes further, and falls behind all the same.
    Warn,
    /// It has gone back.
    Rewind,
    /// It is at work and comes no further.
    Stall,
    /// It does nothing any more.
    Stop,
}

impl Status {
    /// Burrow's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Rewind => "REWIND",
            Self::Stall => "STALL",
            Self::Stop => "STOP",
        }
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    at: Instant,
    settled: u64,
    unread: u64,
}

/// The last steps of a group in one partition.
#[derive(Clone, Debug, Default)]
pub struct Course {
    steps: VecDeque<Step>,
}

impl Course {
    /// Takes a look at the group into account, and judges it.
    pub fn look(&mut self, standing: &Standing, now: Instant) -> Status {
        let step = Step {
            at: now,
            settled: standing.settled,
            unread: standing.unread,
        };
        let last = self.steps.back();
        let has_moved = last.is_none_or(|last| last.settled != step.settled);
        if has_moved || standing.unread == 0 || standing.is_in_hand {
            self.steps.push_back(step);
        }
        if self.steps.len() > STEPS {
            self.steps.pop_front();
        }
        self.judge(step)
    }

    fn judge(&self, now: Step) -> Status {
        if now.unread == 0 {
            return Status::Ok;
        }
        if self.has_stopped(now.at) {
            return Status::Stop;
        }
        if self.pairs().any(|(one, next)| next.settled < one.settled) {
            return Status::Rewind;
        }
        let is_full = self.steps.len() == STEPS;
        if !is_full || self.steps.iter().any(|step| step.unread == 0) {
            return Status::Ok;
        }
        if self.pairs().all(|(one, next)| next.settled == one.settled) {
            return Status::Stall;
        }
        match self.pairs().all(|(one, next)| next.unread >= one.unread) {
            true => Status::Warn,
            false => Status::Ok,
        }
    }

    /// Whether the last step was longer ago than all steps took.
    fn has_stopped(&self, now: Instant) -> bool {
        let ends = self.steps.front().zip(self.steps.back());
        ends.is_some_and(|(first, last)| {
            let took = last.at.duration_since(first.at);
            took > Duration::ZERO && now.duration_since(last.at) > took
        })
    }

    fn pairs(&self) -> impl Iterator<Item = (&Step, &Step)> {
        self.steps.iter().zip(self.steps.iter().skip(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status after looks at `(settled, unread)`, one a second, with a message in hand or not.
    async fn status(looks: &[(u64, u64)], is_in_hand: bool) -> Status {
        let mut course = Course::default();
        let mut status = Status::Ok;
        for &(settled, unread) in looks {
            let standing = Standing {
                topic: "orders".to_owned(),
                partition: 0,
                settled,
                unread,
                waiting: None,
                is_in_hand,
            };
            status = course.look(&standing, Instant::now());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        status
    }

    fn looks(look: impl Fn(u64) -> (u64, u64)) -> Vec<(u64, u64)> {
        (0..12).map(look).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn judges_as_burrow_does() {
        let falling = looks(|n| (n, 20 - n));
        assert_eq!(status(&falling, false).await, Status::Ok);
        let growing = looks(|n| (n, 5 + n));
        assert_eq!(status(&growing, false).await, Status::Warn);
        let mut up_to_date = growing.clone();
        up_to_date[6].1 = 0;
        assert_eq!(status(&up_to_date, false).await, Status::Ok);
        let standing = looks(|n| (7, 5 + n));
        assert_eq!(status(&standing, true).await, Status::Stall);
        let stopped = looks(|n| (n.min(3), 5 + n));
        assert_eq!(status(&stopped, false).await, Status::Stop);
        let rewound = looks(|n| (if n < 6 { 10 + n } else { n }, 5));
        assert_eq!(status(&rewound, false).await, Status::Rewind);
        let done = looks(|n| (n, 0));
        assert_eq!(status(&done, false).await, Status::Ok);
    }
}
