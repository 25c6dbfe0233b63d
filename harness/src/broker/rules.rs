//! The rules of a log, as far as a history shows whether they are kept: the interface of a profile's own rules.

use crate::event::Event;
use crate::message::Position;

/// The rules of one profile, in the course of one history.
pub(crate) trait Rules<'h> {
    /// Takes one more event into account; answers with the rule that it breaks.
    fn read(&mut self, event: &'h Event) -> Option<Violation<'h>>;
}

/// A rule that is broken at a position.
pub(crate) struct Violation<'h> {
    /// Which rule.
    pub(crate) rule: &'static str,
    /// Where in the log.
    pub(crate) position: &'h Position,
    /// How, in words.
    pub(crate) summary: String,
}

/// One partition as one group sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane<'h> {
    group: &'h str,
    topic: &'h str,
    partition: u32,
}

impl<'h> Lane<'h> {
    /// The lane in which a group meets a position.
    pub(crate) fn of(group: &'h str, position: &'h Position) -> Self {
        Lane {
            group,
            topic: &position.topic,
            partition: position.partition,
        }
    }
}
