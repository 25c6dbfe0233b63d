//! Backlog: what a group has not settled at every moment, and whether it is behind.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::checker::alarm_state::{AlarmState, Condition, Level, Moment};
use crate::checker::breach::Breach;
use crate::history::{Event, GroupDescription, History, SettleOutcome, Settlement, What, covers};
use crate::message::Position;

/// One group, its topics and its alarm.
pub(super) struct Backlog<'h> {
    group: &'h str,
    topics: &'h [String],
    /// From how long a wait on the group is behind.
    waiting: Duration,
    /// Whether a settled message settles those ahead of it in its partition.
    is_cumulative: bool,
    /// What is not settled, by the time at which it was written.
    unread: BTreeSet<(Duration, &'h Position)>,
    state: AlarmState<'h>,
    /// Whether the group was ever behind.
    pub(super) was_behind: bool,
}

impl<'h> Backlog<'h> {
    pub(super) fn new(
        history: &'h History,
        (group, description): (&'h str, &'h GroupDescription),
        waiting: Duration,
        within: Duration,
    ) -> Self {
        let capabilities = history.description.profile.capabilities();
        Backlog {
            group,
            topics: &description.topics,
            waiting,
            is_cumulative: capabilities.settles_cumulatively,
            unread: BTreeSet::new(),
            state: AlarmState::new(group, within),
            was_behind: false,
        }
    }

    fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|own| covers(own, topic))
    }

    fn level(&self, now: Duration) -> Level {
        match self.behind_at() {
            None => Level::Right,
            Some(at) if at <= now => Level::Wrong,
            Some(_) => Level::Between,
        }
    }

    /// From when on the group is behind if it settles nothing; `None` if it has settled everything.
    fn behind_at(&self) -> Option<Duration> {
        let (written, _) = self.unread.first()?;
        Some(*written + self.waiting)
    }
}

impl<'h> Condition<'h> for Backlog<'h> {
    fn alarm(&mut self) -> &mut AlarmState<'h> {
        &mut self.state
    }

    // A group falls behind by time alone.
    fn wait(&mut self, moment: Moment) -> Option<Breach<'h>> {
        if let Some(behind_at) = self.behind_at().filter(|at| *at <= moment.at) {
            let at = Moment {
                at: behind_at,
                ..moment
            };
            self.state.set(Level::Wrong, at);
            self.was_behind = true;
        }
        self.state.wait(moment)
    }

    fn read(&mut self, event: &'h Event) {
        match &event.what {
            What::Published { position, .. } if self.reads(&position.topic) => {
                self.unread.insert((event.at, position));
            }
            What::Settled {
                group,
                position,
                settlement: Settlement::Ack,
                outcome: SettleOutcome::Accepted,
                ..
            } if **group == *self.group => {
                let is_cumulative = self.is_cumulative;
                self.unread
                    .retain(|(_, unread)| !is_settled_by(unread, position, is_cumulative));
            }
            _ => return,
        }
        let moment = Moment {
            at: event.at,
            index: event.index,
            healed_at: None,
        };
        self.state.set(self.level(event.at), moment);
    }
}

/// Whether the acknowledgement of one message settles another.
fn is_settled_by(message: &Position, acknowledged: &Position, is_cumulative: bool) -> bool {
    let of_partition = |position: &Position| (position.topic.clone(), position.partition);
    match is_cumulative {
        false => message == acknowledged,
        true => {
            of_partition(message) == of_partition(acknowledged)
                && message.offset <= acknowledged.offset
        }
    }
}
