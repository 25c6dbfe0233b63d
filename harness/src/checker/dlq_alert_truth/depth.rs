//! Depth: what a group has parked at every moment, and whether that is too much.

use std::collections::BTreeMap;
use std::time::Duration;

use super::DepthThreshold;
use crate::checker::alarm_state::{AlarmState, Condition, Level, Moment};
use crate::checker::breach::Breach;
use crate::checker::trail::consumer_of;
use crate::history::{Event, Fact, What};
use crate::message::Position;

/// One group, its dead letter topic and its alarm.
pub(super) struct Depth<'h> {
    group: &'h str,
    dead_letters: &'h str,
    threshold: DepthThreshold,
    /// When each event was first parked that is.
    parked: BTreeMap<Name<'h>, Duration>,
    state: AlarmState<'h>,
    /// Whether anything was ever parked.
    pub(super) is_tried: bool,
}

/// What tells parked messages apart: the event's id, or where the message stands if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name<'h> {
    Event(&'h str),
    Position(&'h Position),
}

impl<'h> Depth<'h> {
    pub(super) fn new(
        group: &'h str,
        dead_letters: &'h str,
        threshold: DepthThreshold,
        within: Duration,
    ) -> Self {
        Depth {
            group,
            dead_letters,
            threshold,
            parked: BTreeMap::new(),
            state: AlarmState::new(group, within),
            is_tried: false,
        }
    }

    fn level(&self, now: Duration) -> Level {
        if self.parked.is_empty() {
            Level::Right
        } else if now < self.too_much_until() {
            Level::Wrong
        } else {
            Level::Between
        }
    }

    /// Until when too much is parked if nothing happens; the beginning of time if it is not now.
    fn too_much_until(&self) -> Duration {
        if self.parked.len() >= self.threshold.parked {
            return Duration::MAX;
        }
        let mut times: Vec<Duration> = self.parked.values().copied().collect();
        times.sort_unstable();
        let oldest = times.len().checked_sub(self.threshold.lately.max(1));
        oldest.map_or(Duration::ZERO, |oldest| {
            times[oldest] + self.threshold.window
        })
    }
}

impl<'h> Condition<'h> for Depth<'h> {
    fn alarm(&mut self) -> &mut AlarmState<'h> {
        &mut self.state
    }

    // What was parked long ago counts for less, so that too much may become little by time alone.
    fn wait(&mut self, moment: Moment) -> Option<Breach<'h>> {
        let too_much_until = self.too_much_until();
        let until = Moment {
            at: moment.at.min(too_much_until),
            ..moment
        };
        let missing = self.state.wait(until);
        if too_much_until <= moment.at {
            self.state.set(self.level(until.at), until);
        }
        missing.or_else(|| self.state.wait(moment))
    }

    fn read(&mut self, event: &'h Event) {
        match &event.what {
            What::Published { position, message } if *position.topic == *self.dead_letters => {
                let name = message
                    .event_id()
                    .map_or(Name::Position(position), Name::Event);
                self.parked.entry(name).or_insert(event.at);
                self.is_tried = true;
            }
            What::Observed {
                database,
                fact: Fact::Applied(end) | Fact::Discarded(end),
                ..
            } if consumer_of(end, database) == self.group => {
                self.parked.remove(&Name::Event(&end.event_id));
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
