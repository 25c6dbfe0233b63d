//! Messages: which event came of which, over the broker and within a service.

use std::collections::BTreeMap;

use stormglass_reports::story::{Arrow, Fate};

use super::lanes::Lanes;
use crate::history::{Event, Fact, History, What};
use crate::message::{CAUSATION_ID, Position};

/// A first delivery that takes longer than this after the publication is late, in nanoseconds.
const LATE_NS: u64 = 1_000_000_000;

/// The links between the events of a history.
pub(super) struct Messages<'h> {
    /// The publication at each position, by index and time.
    published: BTreeMap<&'h Position, (u64, u64)>,
    /// What an event came of.
    causes: BTreeMap<u64, u64>,
}

impl<'h> Messages<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut links = Links::default();
        for event in &history.events {
            links.read(event);
        }
        Messages {
            published: links.published,
            causes: links.causes,
        }
    }

    /// The event without which another would not have happened: the publication of what was delivered, the delivery that
    /// made a service commit or publish, the commit that a probe looked after.
    pub(super) fn cause_of(&self, index: u64) -> Option<u64> {
        self.causes.get(&index).copied()
    }

    /// The message that an event sent or got.
    pub(super) fn arrow_of(&self, event: &Event, lanes: &Lanes) -> Option<Arrow> {
        match &event.what {
            What::Published { position, .. } => Some(Arrow {
                from: event.index,
                lane: lanes.partition(position),
                fate: Fate::Published,
            }),
            What::PublishRejected { .. } | What::PublishUnknown { .. } => Some(Arrow {
                from: event.index,
                lane: lanes.host(&event.host),
                fate: Fate::Lost,
            }),
            What::Delivered {
                position, attempt, ..
            } => {
                let (from, at) = *self.published.get(position)?;
                let late = super::nanoseconds(event).saturating_sub(at) > LATE_NS;
                Some(Arrow {
                    from,
                    lane: lanes.partition(position),
                    fate: match (*attempt, late) {
                        (2.., _) => Fate::Again,
                        (_, true) => Fate::Delayed,
                        (_, false) => Fate::Delivered,
                    },
                })
            }
            _ => None,
        }
    }
}

/// What is known while a history is read.
#[derive(Default)]
struct Links<'h> {
    published: BTreeMap<&'h Position, (u64, u64)>,
    causes: BTreeMap<u64, u64>,
    /// Which event id stands at a position.
    ids: BTreeMap<&'h Position, &'h str>,
    /// The last delivery of an event to a host.
    delivered: BTreeMap<(&'h str, &'h str), u64>,
    /// The commit that made an event known.
    announced: BTreeMap<&'h str, u64>,
}

impl<'h> Links<'h> {
    fn read(&mut self, event: &'h Event) {
        let (index, host) = (event.index, &*event.host);
        match &event.what {
            What::Published { position, message } => {
                self.published
                    .entry(position)
                    .or_insert((index, super::nanoseconds(event)));
                let id = message.event_id();
                if let Some(id) = id {
                    self.ids.insert(position, id);
                }
                let announced = id.and_then(|id| self.announced.get(id));
                let caused = message.headers.get(CAUSATION_ID);
                let caused = caused.and_then(|id| self.delivered.get(&(host, id.as_str())));
                self.note(index, announced.or(caused).copied());
            }
            What::Delivered { position, .. } => {
                self.note(index, self.published.get(position).map(|(from, _)| *from));
                if let Some(id) = self.ids.get(position) {
                    self.delivered.insert((host, id), index);
                }
            }
            What::Settled { position, .. } => {
                let id = self.ids.get(position);
                let delivery = id.and_then(|id| self.delivered.get(&(host, *id)));
                self.note(index, delivery.copied());
            }
            What::Observed { fact, commit, .. } => self.read_fact(index, host, *commit, fact),
            _ => {}
        }
    }

    fn read_fact(&mut self, index: u64, host: &'h str, commit: u64, fact: &'h Fact) {
        self.note(index, Some(commit));
        let id = match fact {
            Fact::Announced(own) => {
                self.announced.entry(&own.event_id).or_insert(index);
                &own.cause_id
            }
            Fact::Applied(own) | Fact::Discarded(own) => &own.event_id,
            Fact::Withheld(_) => return,
        };
        // A commit is made for the sake of the event that its service was handed.
        let delivery = self.delivered.get(&(host, id.as_str())).copied();
        self.note(commit, delivery);
    }

    fn note(&mut self, index: u64, cause: Option<u64>) {
        if let Some(cause) = cause.filter(|cause| *cause < index) {
            self.causes.entry(index).or_insert(cause);
        }
    }
}
