//! Trails: what the history says about each business event, gathered in one pass.
//!
//! An event is known by its id, whatever its copies: republications, redeliveries and the message
//! in a dead letter topic all belong to one trail. A trail judges nothing.

mod parking;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lane::Acknowledgements;
use super::marks::Marks;
use super::placements::Placements;
use crate::history::{
    Announcement, Application, Event, Fact, GroupDescription, History, SettleOutcome, Settlement,
    What,
};
use crate::message::{CORRELATION_ID, Message, Position};

/// An announcement and where it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced<'h> {
    pub(super) index: u64,
    /// The host whose commit it was.
    pub(super) host: &'h str,
    /// Announcements of one database stand in the order of their commits.
    pub(super) database: &'h str,
    /// The commit after which it was seen.
    pub(super) commit: u64,
    pub(super) announcement: &'h Announcement,
}

impl Announced<'_> {
    /// Whether two announcements under one id are of different events. What a probe leaves empty is
    /// no difference.
    fn is_other_event(&self, other: &Announced<'_>) -> bool {
        let (own, other) = (self.announcement, other.announcement);
        differ(&own.entity, &other.entity)
            || differ(&own.event_type, &other.event_type)
            || differ(&own.cause_id, &other.cause_id)
    }
}

/// Whether two texts say different things; an empty one says nothing.
pub(super) fn differ(one: &str, other: &str) -> bool {
    one != other && !one.is_empty() && !other.is_empty()
}

/// One copy of an event in the log of a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published<'h> {
    pub(super) index: u64,
    /// The producer.
    pub(super) host: &'h str,
    pub(super) position: &'h Position,
    pub(super) message: &'h Message,
}

/// A copy of an event in the dead letter topic of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked<'h> {
    pub(super) group: &'h str,
    pub(super) published: Published<'h>,
    /// The copy that the group was busy with, as far as the deliveries tell.
    pub(super) original: Option<&'h Position>,
}

/// An effect, or the audit entry of an event that was discarded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect<'h> {
    pub(super) index: u64,
    /// The group whose effect it is.
    pub(super) consumer: &'h str,
    pub(super) application: &'h Application,
    /// The host whose commit it was.
    pub(super) host: &'h str,
    /// The commit after which it was seen.
    pub(super) commit: u64,
    /// The copy that the consumer settled next; until then, and if it settled none, the one that it was
    /// busy with as far as the deliveries tell.
    pub(super) original: Option<&'h Position>,
    is_settled: bool,
}

/// How a consumer settled what it was handed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) index: u64,
    pub(super) settlement: Settlement,
    pub(super) outcome: SettleOutcome,
    /// Whether it was given back and nothing tells that it was tried itself: together with another message that had failed
    /// or was parked before it, as the rest of a batch, or when its lease had run out while its host did nothing at all, as
    /// one that had only arrived.
    pub(super) is_untried: bool,
}

/// A copy in the hands of a consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handling<'h> {
    /// Where it was delivered.
    pub(super) index: u64,
    pub(super) host: &'h str,
    pub(super) group: &'h str,
    pub(super) position: &'h Position,
    /// How often the group had been handed the copy by then, as the broker counts.
    pub(super) attempt: u32,
    pub(super) settled: Option<Settled>,
    /// Whether its lease ran out before it was settled.
    is_lease_lost: bool,
    /// Where its consumer settled it or its group was handed the copy again, whichever came first;
    /// the end of time if neither happened.
    pub(super) over: u64,
}

impl Handling<'_> {
    /// Whether the broker took a settlement of this kind.
    pub(super) fn is_settled_by(&self, settlement: Settlement) -> bool {
        self.settled.is_some_and(|own| {
            own.settlement == settlement && own.outcome == SettleOutcome::Accepted
        })
    }
}

/// Everything that happened to one event, each list in the order of the history.
#[derive(Debug)]
pub(super) struct Trail<'h> {
    pub(super) event_id: &'h str,
    pub(super) announced: Vec<Announced<'h>>,
    /// Announcements under its id, to a topic that had one already, that speak of another event.
    pub(super) sharing_its_id: Vec<Announced<'h>>,
    /// Its copies outside dead letter topics.
    pub(super) published: Vec<Published<'h>>,
    pub(super) parked: Vec<Parked<'h>>,
    pub(super) applied: Vec<Effect<'h>>,
    pub(super) discarded: Vec<Effect<'h>>,
    pub(super) handled: Vec<Handling<'h>>,
}

impl<'h> Trail<'h> {
    fn new(event_id: &'h str) -> Self {
        Trail {
            event_id,
            announced: Vec::new(),
            sharing_its_id: Vec::new(),
            published: Vec::new(),
            parked: Vec::new(),
            applied: Vec::new(),
            discarded: Vec::new(),
            handled: Vec::new(),
        }
    }

    /// Whether the event was really announced or published, not only spoken of by a consumer.
    pub(super) fn is_known(&self) -> bool {
        !self.announced.is_empty() || !self.published.is_empty()
    }

    /// What the event is about; the key stands in where no probe says it.
    pub(super) fn entity(&self) -> &'h str {
        let announced = self.announced.iter().map(|seen| &*seen.announcement.entity);
        let keys = self.published.iter().map(|copy| &*copy.message.key);
        announced
            .chain(keys)
            .find(|entity| !entity.is_empty())
            .unwrap_or("")
    }

    /// Where an announced event belongs: where the system does not say, where it was published.
    pub(super) fn topic_of(&self, announced: &Announced<'h>) -> &'h str {
        match (&*announced.announcement.topic, self.published.first()) {
            ("", Some(copy)) => &copy.position.topic,
            (topic, _) => topic,
        }
    }

    /// The event's type, or an empty text.
    pub(super) fn event_type(&self) -> &'h str {
        let announced = self
            .announced
            .iter()
            .map(|seen| &*seen.announcement.event_type);
        let published = self
            .published
            .iter()
            .filter_map(|copy| copy.message.event_type());
        announced
            .chain(published)
            .find(|kind| !kind.is_empty())
            .unwrap_or("")
    }

    /// The event named for a person: type, end of the id, entity.
    pub(super) fn name(&self) -> String {
        let (kind, id, entity) = (self.event_type(), self.event_id, self.entity());
        match (kind, entity) {
            ("", "") => format!("event {id}"),
            ("", _) => format!("event {id} of {entity}"),
            (_, "") => format!("{kind} {id}"),
            _ => format!("{kind} {id} of {entity}"),
        }
    }

    /// The first effect that a group took from the event.
    pub(super) fn applied_by(&self, group: &str) -> Option<&Effect<'h>> {
        self.applied.iter().find(|effect| effect.consumer == group)
    }

    /// The first audit entry with which a group discarded the event.
    pub(super) fn discarded_by(&self, group: &str) -> Option<&Effect<'h>> {
        self.discarded
            .iter()
            .find(|effect| effect.consumer == group)
    }

    /// Every time that a group parked the event.
    pub(super) fn parked_by(&self, group: &str) -> impl Iterator<Item = &Parked<'h>> {
        self.parked
            .iter()
            .filter(move |parked| parked.group == group)
    }

    /// Every time that a group was handed a copy.
    pub(super) fn handled_by(&self, group: &str) -> impl DoubleEndedIterator<Item = &Handling<'h>> {
        self.handled
            .iter()
            .filter(move |handling| handling.group == group)
    }
}

/// What a host did last.
#[derive(Debug, Default)]
struct Last<'h> {
    /// Something that an attempt may consist of: a transaction, a call, a publication.
    deed: u64,
    /// Refusing what it was handed, by giving it back or parking it, by group.
    refused: BTreeMap<&'h str, u64>,
}

/// The trails of all events of a history.
#[derive(Debug)]
pub(super) struct Trails<'h> {
    pub(super) history: &'h History,
    /// One trail an event, in the order in which the events first appeared.
    pub(super) trails: Vec<Trail<'h>>,
    /// First announcements, by event and topic, in commit order; with the event's trail.
    pub(super) announced: Vec<(usize, Announced<'h>)>,
    /// Messages in dead letter topics that carry no event id.
    pub(super) parked_without_id: Vec<Published<'h>>,
    by_id: BTreeMap<&'h str, usize>,
    by_position: Placements<'h, usize>,
    /// The groups that park in each dead letter topic.
    parking: BTreeMap<&'h str, Vec<&'h str>>,
    /// The acknowledgements that the broker took.
    pub(super) acknowledgements: Acknowledgements<'h>,
    /// When each host committed something.
    pub(super) commits: Marks<'h>,
    /// When each host was started.
    pub(super) starts: Marks<'h>,
    /// What each host did last, while the history is read.
    last: BTreeMap<&'h str, Last<'h>>,
}

impl<'h> Trails<'h> {
    /// Reads a history once.
    pub(super) fn gather(history: &'h History) -> Self {
        let mut parking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, group) in &history.description.groups {
            if let Some(topic) = &group.dead_letters {
                parking.entry(topic).or_default().push(name);
            }
        }
        let mut trails = Trails {
            history,
            trails: Vec::new(),
            announced: Vec::new(),
            parked_without_id: Vec::new(),
            by_id: BTreeMap::new(),
            by_position: Placements::new(),
            parking,
            acknowledgements: Acknowledgements::none(history),
            commits: Marks::default(),
            starts: Marks::default(),
            last: BTreeMap::new(),
        };
        for event in &history.events {
            trails.acknowledgements.read(event);
            trails.read(event);
        }
        trails
    }

    /// The trail of an event, by its place in `trails`.
    pub(super) fn number_of(&self, event_id: &str) -> Option<usize> {
        self.by_id.get(event_id).copied()
    }

    /// Every handling of a message with an event id.
    pub(super) fn handlings(&self) -> impl Iterator<Item = &Handling<'h>> {
        self.trails.iter().flat_map(|trail| &trail.handled)
    }

    /// The hosts that were handed events.
    pub(super) fn consumers(&self) -> BTreeSet<&'h str> {
        self.handlings().map(|held| held.host).collect()
    }

    /// The trail of the message at a position, by its place in `trails`.
    pub(super) fn at(&self, position: &Position) -> Option<usize> {
        self.by_position.get(position).copied()
    }

    /// Whether some group parks its poison messages in a topic.
    pub(super) fn is_dead_letters(&self, topic: &str) -> bool {
        self.parking.contains_key(topic)
    }

    /// Every event that a group parked, with the group.
    pub(super) fn parkings(&self) -> impl Iterator<Item = (&Trail<'h>, &'h str)> {
        self.trails.iter().flat_map(|trail| {
            let groups: BTreeSet<&str> = trail.parked.iter().map(|parked| parked.group).collect();
            groups.into_iter().map(move |group| (trail, group))
        })
    }

    /// The keys of all messages outside dead letter topics that carry no event id.
    pub(super) fn nameless_keys(&self) -> BTreeSet<&'h str> {
        let published = self
            .history
            .events
            .iter()
            .filter_map(|event| match &event.what {
                What::Published { position, message } => Some((position, message)),
                _ => None,
            });
        published
            .filter(|(position, message)| {
                message.event_id().is_none() && !self.is_dead_letters(&position.topic)
            })
            .map(|(_, message)| &*message.key)
            .collect()
    }

    /// Every group, by name.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&'h str, &'h GroupDescription)> {
        let groups = &self.history.description.groups;
        groups.iter().map(|(name, group)| (&**name, group))
    }

    fn read(&mut self, event: &'h Event) {
        match &event.what {
            What::Published { position, message } => self.read_published(event, position, message),
            What::HostStarted { .. } => self.starts.add(&event.host, event.index),
            What::Committed { .. } => {
                self.commits.add(&event.host, event.index);
                self.does(event);
            }
            What::RolledBack { .. }
            | What::StatementFailed { .. }
            | What::ExternalCalled { .. } => {
                self.does(event);
            }
            What::PublishRejected { .. } | What::PublishUnknown { .. } => self.does(event),
            What::Observed {
                database,
                commit,
                fact,
            } => self.read_fact(event, database, *commit, fact),
            What::Delivered {
                group,
                position,
                attempt,
                ..
            } => self.read_delivered(event, group, position, *attempt),
            What::Settled {
                group,
                position,
                settlement,
                outcome,
                ..
            } => self.read_settled(event, group, position, (*settlement, *outcome)),
            What::LeaseExpired { group, position } => {
                if let Some(own) = self.open_handling(event, group, position) {
                    own.is_lease_lost = true;
                }
            }
            _ => {}
        }
    }

    /// The host did something that an attempt may consist of.
    fn does(&mut self, event: &'h Event) {
        self.last.entry(&event.host).or_default().deed = event.index;
    }

    fn read_delivered(
        &mut self,
        event: &'h Event,
        group: &'h str,
        position: &'h Position,
        attempt: u32,
    ) {
        let Some(trail) = self.at(position) else {
            return;
        };
        let handled = &mut self.trails[trail].handled;
        let earlier = handled.iter_mut().rev();
        let mut same = earlier.filter(|own| own.group == group && own.position == position);
        if let Some(own) = same.next() {
            own.over = own.over.min(event.index);
        }
        handled.push(Handling {
            index: event.index,
            host: &event.host,
            group,
            position,
            attempt,
            settled: None,
            is_lease_lost: false,
            over: u64::MAX,
        });
    }

    /// The handling that an event at its host speaks of: the last open one there.
    fn open_handling(
        &mut self,
        event: &'h Event,
        group: &str,
        position: &Position,
    ) -> Option<&mut Handling<'h>> {
        let trail = self.at(position)?;
        let mut latest_first = self.trails[trail].handled.iter_mut().rev();
        latest_first.find(|own| {
            (own.group, own.host, own.position) == (group, &*event.host, position)
                && own.settled.is_none()
        })
    }

    /// Closes the handling that a settlement speaks of.
    fn read_settled(
        &mut self,
        event: &'h Event,
        group: &'h str,
        position: &'h Position,
        (settlement, outcome): (Settlement, SettleOutcome),
    ) {
        let last = self.last.entry(&event.host).or_default();
        let (refused, deed) = (last.refused.get(group).copied(), last.deed);
        if settlement == Settlement::Retry {
            last.refused.insert(group, event.index);
        }
        let Some(trail) = self.at(position) else {
            return;
        };
        let Some(own) = self.open_handling(event, group, position) else {
            return;
        };
        own.over = own.over.min(event.index);
        own.settled = Some(Settled {
            index: event.index,
            settlement,
            outcome,
            is_untried: refused.is_some_and(|other| own.index < other && deed < other)
                || own.is_lease_lost && deed < own.index,
        });
        let settled = *own;
        let is_later = |parked: &Parked<'_>| parked.published.index > settled.index;
        if self.trails[trail].parked_by(group).any(is_later) {
            let last = self.last.entry(&event.host).or_default();
            last.refused.insert(group, event.index);
        }
        self.trails[trail].came_of(&settled);
    }

    fn read_published(
        &mut self,
        event: &'h Event,
        position: &'h Position,
        message: &'h Arc<Message>,
    ) {
        self.does(event);
        let published = Published {
            index: event.index,
            host: &event.host,
            position,
            message,
        };
        let dead_letters = self.is_dead_letters(&position.topic);
        let Some(event_id) = message.event_id() else {
            if dead_letters {
                self.parked_without_id.push(published);
            }
            return;
        };
        let trail = self.trail_of(event_id);
        self.by_position.insert(position, trail);
        if dead_letters {
            self.park(trail, published);
        } else {
            self.trails[trail].published.push(published);
        }
    }

    fn read_fact(&mut self, event: &'h Event, database: &'h str, commit: u64, fact: &'h Fact) {
        match fact {
            Fact::Announced(announcement) => {
                let announced = Announced {
                    index: event.index,
                    host: &event.host,
                    database,
                    commit,
                    announcement,
                };
                self.announce(announced);
            }
            Fact::Applied(application) => {
                let (trail, effect) = self.effect(event, database, commit, application);
                self.trails[trail].applied.push(effect);
            }
            Fact::Discarded(application) => {
                let (trail, effect) = self.effect(event, database, commit, application);
                self.trails[trail].discarded.push(effect);
            }
            Fact::Withheld(_) => {}
        }
    }

    /// Books the first announcement to a topic, and any later one that speaks of another event.
    fn announce(&mut self, announced: Announced<'h>) {
        let topic = &announced.announcement.topic;
        let number = self.trail_of(&announced.announcement.event_id);
        let trail = &mut self.trails[number];
        let mut known = trail.announced.iter();
        match known.find(|seen| seen.announcement.topic == *topic) {
            None => {
                trail.announced.push(announced);
                self.announced.push((number, announced));
            }
            Some(first) if !topic.is_empty() && first.is_other_event(&announced) => {
                trail.sharing_its_id.push(announced);
            }
            Some(_) => {}
        }
    }

    fn effect(
        &mut self,
        event: &'h Event,
        database: &'h str,
        commit: u64,
        application: &'h Application,
    ) -> (usize, Effect<'h>) {
        let trail = self.trail_of(&application.event_id);
        let consumer = consumer_of(application, database);
        let effect = Effect {
            index: event.index,
            consumer,
            application,
            host: &event.host,
            commit,
            original: self.trails[trail].in_hand(consumer, &event.host),
            is_settled: false,
        };
        (trail, effect)
    }

    fn trail_of(&mut self, event_id: &'h str) -> usize {
        *self.by_id.entry(event_id).or_insert_with(|| {
            self.trails.push(Trail::new(event_id));
            self.trails.len() - 1
        })
    }
}

/// Whose effect it is: where the probe does not say, the database's name stands for the group's.
pub(super) fn consumer_of<'h>(application: &'h Application, database: &'h str) -> &'h str {
    match &*application.consumer {
        "" => database,
        consumer => consumer,
    }
}

/// The flow that a message says it belongs to, if it says so.
pub(super) fn correlation_of(message: &Message) -> Option<&str> {
    let id = message.headers.get(CORRELATION_ID)?;
    (!id.is_empty()).then_some(id)
}
