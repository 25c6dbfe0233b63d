//! A breach: the place where a promise was broken, and the story that leads there.
//!
//! Checkers collect breaches and report the earliest; the story is only put together for that one.

use super::{Verdict, Witness, story};
use crate::history::{Asked, History};

/// One broken promise.
#[derive(Clone, Debug)]
pub(super) struct Breach<'h> {
    /// The rule of the property that was broken; empty where it has only one.
    pub(super) rule: &'static str,
    /// The event of the history with which the promise is broken.
    pub(super) index: u64,
    /// From where on nothing could have saved it.
    pub(super) inevitable_from: Option<u64>,
    /// The business events that the story is about.
    pub(super) about: Vec<&'h str>,
    /// The operation that the story begins with, where no delivery shows who had it in hand when.
    pub(super) asked: Option<Asked<'h>>,
    /// The only consumer that the story is about, if it is about one.
    pub(super) group: Option<&'h str>,
    /// One sentence for a person.
    pub(super) summary: String,
}

impl<'h> Breach<'h> {
    /// A breach about one event at one group.
    pub(super) fn of(
        event_id: &'h str,
        group: Option<&'h str>,
        index: u64,
        summary: String,
    ) -> Self {
        Breach {
            about: vec![event_id],
            group,
            ..Breach::at(index, summary)
        }
    }

    /// A breach that no business event explains.
    pub(super) fn at(index: u64, summary: String) -> Self {
        Breach {
            rule: "",
            index,
            inevitable_from: None,
            about: Vec::new(),
            asked: None,
            group: None,
            summary,
        }
    }

    /// The same breach, of a property that has several rules.
    pub(super) fn by_rule(mut self, rule: &'static str) -> Self {
        self.rule = rule;
        self
    }

    /// The same breach, known to be inevitable from an event on.
    pub(super) fn inevitable_from(mut self, index: u64) -> Self {
        self.inevitable_from = Some(index);
        self
    }

    /// The same breach, of what an operation asked for: whatever befell a host from then on may explain it.
    pub(super) fn asked_by(mut self, asked: Asked<'h>) -> Self {
        self.asked = Some(asked);
        self
    }

    /// The same breach, with more business events in its story.
    pub(super) fn and_about(mut self, event_id: impl IntoIterator<Item = &'h str>) -> Self {
        self.about.extend(event_id);
        self
    }

    /// Tells the story.
    pub(super) fn witness(self, history: &History) -> Witness {
        Witness {
            rule: self.rule.to_owned(),
            chain: story::tell(&self, history),
            summary: self.summary,
            index: self.index,
            inevitable_from: self.inevitable_from,
        }
    }
}

/// The verdict on a property whose breaches are these: the earliest counts.
pub(super) fn judge<'h>(
    history: &History,
    breaches: impl IntoIterator<Item = Breach<'h>>,
) -> Option<Verdict> {
    breaches
        .into_iter()
        .min_by_key(|breach| breach.index)
        .map(|breach| Verdict::Broken(breach.witness(history)))
}
