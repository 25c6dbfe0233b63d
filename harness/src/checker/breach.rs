//! A breach: the place where a promise was broken, and the story that leads there.
//!
//! Checkers collect breaches and report the earliest; the story is only put together for that one.

use std::collections::BTreeSet;

use super::trail::consumer_of;
use super::{Verdict, Witness};
use crate::history::{Event, Fact, History, SettleOutcome, Settlement, What};
use crate::message::Position;

/// How many events a story has at most.
const STORY_LENGTH_MAX: usize = 12;

/// How many of them are its beginning, where events in between have to be left out.
const STORY_BEGINNING: usize = 5;

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

    /// The same breach, with more business events in its story.
    pub(super) fn and_about(mut self, event_id: impl IntoIterator<Item = &'h str>) -> Self {
        self.about.extend(event_id);
        self
    }

    /// Tells the story.
    pub(super) fn witness(self, history: &History) -> Witness {
        let must = [Some(self.index), self.inevitable_from];
        let chain = Storyteller::new(&self).tell(history);
        Witness {
            rule: self.rule.to_owned(),
            chain: shorten(chain, must.into_iter().flatten()),
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

/// Leaves out the middle of a story that is too long, but never what it must contain.
fn shorten(mut chain: BTreeSet<u64>, must: impl Iterator<Item = u64>) -> Vec<u64> {
    let must: BTreeSet<u64> = must.collect();
    chain.extend(&must);
    let excess = chain.len().saturating_sub(STORY_LENGTH_MAX);
    let middle = chain.iter().copied().skip(STORY_BEGINNING);
    let left_out: Vec<u64> = middle
        .filter(|index| !must.contains(index))
        .take(excess)
        .collect();
    for index in left_out {
        chain.remove(&index);
    }
    chain.into_iter().collect()
}

/// Picks the events that a story needs.
struct Storyteller<'b, 'h> {
    breach: &'b Breach<'h>,
    positions: BTreeSet<&'b Position>,
    /// Hosts that had the event in hand: what befalls them is part of the story.
    busy: BTreeSet<&'b str>,
}

impl<'b, 'h> Storyteller<'b, 'h> {
    fn new(breach: &'b Breach<'h>) -> Self {
        Storyteller {
            breach,
            positions: BTreeSet::new(),
            busy: BTreeSet::new(),
        }
    }

    fn tell(mut self, history: &'b History) -> BTreeSet<u64> {
        let told = history.events.iter().filter(|event| self.tells(event));
        told.map(|event| event.index).collect()
    }

    fn tells(&mut self, event: &'b Event) -> bool {
        let host = &*event.host;
        match &event.what {
            What::Published { position, message } => {
                let own = self.is_about(message.event_id());
                if own {
                    self.positions.insert(position);
                }
                own
            }
            What::PublishRejected { event_id, .. } | What::PublishUnknown { event_id, .. } => {
                self.is_about(event_id.as_deref())
            }
            What::PublishAcknowledged { event_id, .. } => {
                let own = self.is_about(event_id.as_deref());
                if own && self.breach.group.is_none() {
                    self.busy.remove(host);
                }
                own
            }
            What::Observed { database, fact } => {
                let own = self.is_fact(database, fact);
                if own {
                    self.busy.insert(host);
                }
                own
            }
            What::Delivered {
                group, position, ..
            } => {
                let own = self.is_group(group) && self.positions.contains(position);
                if own {
                    self.busy.insert(host);
                }
                own
            }
            What::Settled {
                group,
                position,
                settlement,
                outcome,
                ..
            } => {
                let own = self.is_group(group) && self.positions.contains(position);
                if own && (*settlement, *outcome) == (Settlement::Ack, SettleOutcome::Accepted) {
                    self.busy.remove(host);
                }
                own
            }
            What::LeaseExpired { group, position } => {
                self.is_group(group) && self.positions.contains(position)
            }
            What::HostCrashed | What::HostExited { .. } => self.busy.remove(host),
            What::HostPaused { .. } | What::RolledBack { .. } | What::FaultBit { .. } => {
                self.busy.contains(host)
            }
            _ => false,
        }
    }

    fn is_about(&self, event_id: Option<&str>) -> bool {
        event_id.is_some_and(|id| self.breach.about.contains(&id))
    }

    fn is_group(&self, group: &str) -> bool {
        self.breach.group.is_none_or(|own| own == group)
    }

    fn is_fact(&self, database: &str, fact: &Fact) -> bool {
        match fact {
            Fact::Announced(announcement) => self.is_about(Some(&announcement.event_id)),
            Fact::Applied(application) | Fact::Discarded(application) => {
                self.is_about(Some(&application.event_id))
                    && self.is_group(consumer_of(application, database))
            }
        }
    }
}
