//! The state of one alarm, compared with the condition that it stands for.
//!
//! What the condition is, the property says, as a level that changes. It is judged by what was seen from outside, so an
//! alarm may be late by the time that the property allows; between the two levels it may be on or off.

use std::time::Duration;

use super::alarms::{Alarm, Pager};
use super::breach::Breach;
use crate::history::{Event, History, What};

/// What an alarm has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// On.
    Wrong,
    /// As it is: some systems only take an alarm back when it is well below what it began with.
    Between,
    /// Off.
    Right,
}

/// An alarm and its condition, followed through a history.
#[derive(Debug)]
pub(super) struct AlarmState<'h> {
    group: &'h str,
    /// How long an alarm may be late, once nothing disturbs the system any more.
    within: Duration,
    /// What the alarm has to be, and since when.
    condition: Spell,
    /// Whether the alarm is on.
    is_on: bool,
    /// Whether there was a reason to turn it on, and one to turn it off, at some moment since it last changed.
    on_is_due: bool,
    off_is_due: bool,
}

/// A time in which the condition does not change.
#[derive(Clone, Copy, Debug)]
struct Spell {
    level: Level,
    since: Duration,
    /// The event with which it began.
    index: u64,
}

/// A moment of a history: its time, its event, and when the system was healed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Duration,
    pub(super) index: u64,
    pub(super) healed_at: Option<Duration>,
}

/// What an alarm about one group stands for.
pub(super) trait Condition<'h> {
    /// The alarm.
    fn alarm(&mut self) -> &mut AlarmState<'h>;

    /// Time has passed up to a moment; gives what was due by then and is missing.
    fn wait(&mut self, moment: Moment) -> Option<Breach<'h>>;

    /// Takes one more event into account.
    fn read(&mut self, event: &'h Event);
}

/// The first thing that is wrong with what the pager was told of a condition.
pub(super) fn follow<'h>(
    history: &'h History,
    pager: &Pager,
    condition: &mut impl Condition<'h>,
) -> Option<Breach<'h>> {
    let mut healed_at = None;
    for event in &history.events {
        let moment = Moment {
            at: event.at,
            index: event.index,
            healed_at,
        };
        if let Some(breach) = condition.wait(moment) {
            return Some(breach);
        }
        if event.what == What::HealBegan {
            healed_at = Some(event.at);
        }
        condition.read(event);
        let alarm = condition.alarm();
        for (group, told) in pager.heard(event) {
            if group == alarm.group
                && let Some(breach) = alarm.hear(told, moment)
            {
                return Some(breach);
            }
        }
    }
    None
}

impl<'h> AlarmState<'h> {
    /// Off, and rightly so.
    pub(super) fn new(group: &'h str, within: Duration) -> Self {
        AlarmState {
            group,
            within,
            condition: Spell {
                level: Level::Right,
                since: Duration::ZERO,
                index: 0,
            },
            is_on: false,
            on_is_due: false,
            off_is_due: true,
        }
    }

    /// The condition is at a level from a moment on.
    pub(super) fn set(&mut self, level: Level, moment: Moment) {
        self.on_is_due |= level == Level::Wrong;
        self.off_is_due |= level != Level::Wrong;
        if self.condition.level != level {
            self.condition = Spell {
                level,
                since: moment.at,
                index: moment.index,
            };
        }
    }

    /// The pager was told; gives what is wrong with that.
    pub(super) fn hear(&mut self, alarm: Alarm, moment: Moment) -> Option<Breach<'h>> {
        let wrong = match (alarm, self.is_on) {
            (Alarm::Firing, true) => Some(("repeated", "told twice that something is wrong with")),
            (Alarm::Firing, false) if !self.on_is_due => Some(("false", "told of nothing at")),
            (Alarm::Resolved, false) => {
                Some(("false", "told that it is over, but of no beginning, at"))
            }
            (Alarm::Resolved, true) if !self.off_is_due => {
                Some(("false", "told that it is over while it goes on at"))
            }
            _ => None,
        };
        self.is_on = alarm == Alarm::Firing;
        self.on_is_due = self.condition.level == Level::Wrong;
        self.off_is_due = !self.on_is_due;
        wrong.map(|(rule, what)| self.breach(rule, moment.index, what))
    }

    /// Time has passed up to a moment; gives what was due by then and is missing.
    pub(super) fn wait(&self, moment: Moment) -> Option<Breach<'h>> {
        let due = self.condition.since.max(moment.healed_at?) + self.within;
        let missing = match self.condition.level {
            Level::Wrong if !self.is_on => ("missing", "not told that something is wrong with"),
            Level::Right if self.is_on => ("not-over", "not told that it is over at"),
            _ => return None,
        };
        let (rule, what) = missing;
        let breach = || self.breach(rule, moment.index, what);
        (moment.at >= due).then(|| breach().inevitable_from(self.condition.index))
    }

    fn breach(&self, rule: &'static str, index: u64, what: &str) -> Breach<'h> {
        let summary = format!("people were {what} {}", self.group);
        Breach {
            group: Some(self.group),
            ..Breach::at(index, summary).by_rule(rule)
        }
    }
}
