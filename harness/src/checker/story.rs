//! The story of a breach: the events of a history by which a person sees how it came about.
//!
//! What befalls a host belongs to the story while the host has one of its events in hand: from the
//! delivery to the settlement, and from the work that led to its commit until it is published and
//! marked as such. How much of a long story is shown is for the report to decide.

use std::collections::{BTreeMap, BTreeSet};

use super::breach::Breach;
use crate::history::{Event, Fact, History, What};
use crate::message::Position;

/// How much is told of what befell a host that never let go of the event.
const TOLD_WITHOUT_END: usize = 6;

/// How many answers to clients are told.
const ANSWERS_MAX: usize = 2;

/// The indexes of the events that tell the story, in order.
pub(super) fn tell(breach: &Breach<'_>, history: &History) -> Vec<u64> {
    let mut story = Story {
        breach,
        positions: BTreeSet::new(),
        entities: BTreeSet::new(),
        announced_in: None,
        told: BTreeSet::new(),
        tenures: Vec::new(),
        hands: BTreeMap::new(),
    };
    for event in &history.events {
        story.read(event);
    }
    story.befell(history);
    story.answered(history);
    story.told.extend([breach.index]);
    story.told.extend(breach.inevitable_from);
    story.told.into_iter().collect()
}

/// What a host does with an event while it has it in hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role<'h> {
    /// Handles it for a group.
    Consumes(&'h str),
    /// Committed it and has still to publish it.
    Announces(&'h str),
    /// Publishes it.
    Publishes,
    /// Has published it and has still to mark it as published in this database.
    Marks(&'h str),
}

/// A time during which a host had an event in hand, by the first and the last index.
struct Tenure<'h> {
    host: &'h str,
    group: Option<&'h str>,
    from: u64,
    /// `None` where it never let go.
    to: Option<u64>,
}

/// What one host is at.
#[derive(Default)]
struct Hands<'h> {
    /// Where its last work ended, and the work before its last commit.
    idle_since: u64,
    worked_since: u64,
    holds: Option<(Role<'h>, u64)>,
}

struct Story<'b, 'h> {
    breach: &'b Breach<'h>,
    /// Where the events of the story stand in logs.
    positions: BTreeSet<&'b Position>,
    /// What the events of the story are about.
    entities: BTreeSet<&'b str>,
    /// The database that the first of them was announced in.
    announced_in: Option<&'b str>,
    told: BTreeSet<u64>,
    tenures: Vec<Tenure<'b>>,
    hands: BTreeMap<&'b str, Hands<'b>>,
}

impl<'b> Story<'b, '_> {
    /// Tells the event if it is one of the story's own, and keeps account of who has what in hand.
    fn read(&mut self, event: &'b Event) {
        let (index, host) = (event.index, &*event.host);
        match &event.what {
            What::Published { position, message } if self.is_about(message.event_id()) => {
                self.told.insert(index);
                self.positions.insert(position);
                self.entities.insert(&message.key);
                self.publishes(host, index);
            }
            What::PublishRejected { event_id, .. } | What::PublishUnknown { event_id, .. }
                if self.is_about(event_id.as_deref()) =>
            {
                self.told.insert(index);
                self.publishes(host, index);
            }
            What::PublishDeduplicated { position, event_id }
                if self.is_about(event_id.as_deref()) || self.positions.contains(position) =>
            {
                self.told.insert(index);
                self.publishes(host, index);
            }
            What::PublishAcknowledged { event_id, .. } if self.is_about(event_id.as_deref()) => {
                self.told.insert(index);
                self.published(host, index);
            }
            What::Observed { database, fact } if self.is_fact(fact) => {
                self.told.insert(index);
                if let Fact::Announced(announcement) = fact {
                    self.entities.insert(&announcement.entity);
                    self.announced_in.get_or_insert(database);
                    let since = self.hand(host).worked_since;
                    self.takes(host, Role::Announces(database), since);
                }
            }
            What::Delivered {
                group, position, ..
            } => {
                if self.is_group(group) && self.positions.contains(position) {
                    self.told.insert(index);
                    self.takes(host, Role::Consumes(group), index);
                }
                self.hand(host).idle_since = index;
            }
            What::Settled {
                group, position, ..
            } => {
                if self.is_group(group) && self.positions.contains(position) {
                    self.told.insert(index);
                    self.lets_go(host, index);
                }
                self.hand(host).idle_since = index;
            }
            What::LeaseExpired { group, position } => {
                if self.is_group(group) && self.positions.contains(position) {
                    self.told.insert(index);
                }
            }
            What::Committed { database } => self.commits(host, database, index),
            What::HostCrashed | What::HostExited { .. } => self.lets_go(host, index),
            What::HostStarted { .. } => self.hand(host).idle_since = index,
            What::Logged { level, message, .. } if level == "WARN" || level == "ERROR" => {
                if self.breach.about.iter().any(|id| message.contains(*id)) {
                    self.told.insert(index);
                }
            }
            _ => {}
        }
    }

    fn hand(&mut self, host: &'b str) -> &mut Hands<'b> {
        self.hands.entry(host).or_default()
    }

    fn takes(&mut self, host: &'b str, role: Role<'b>, since: u64) {
        self.hand(host).holds.get_or_insert((role, since));
    }

    fn lets_go(&mut self, host: &'b str, index: u64) {
        if let Some((role, from)) = self.hand(host).holds.take() {
            self.tenures.push(Tenure {
                host,
                group: group_of(role),
                from,
                to: Some(index),
            });
        }
    }

    /// Whoever else had it in hand to publish it has let go of it by now.
    fn publishes(&mut self, host: &'b str, index: u64) {
        let since = self.hand(host).idle_since;
        self.takes(host, Role::Publishes, since);
        let others: Vec<&str> = self
            .hands
            .iter()
            .filter(|(other, hands)| {
                **other != host && matches!(hands.holds, Some((Role::Announces(_), _)))
            })
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            self.lets_go(other, index);
        }
    }

    /// A host that published what somebody else committed has still to mark it.
    fn published(&mut self, host: &'b str, index: u64) {
        let database = self.announced_in;
        let hand = self.hand(host);
        match (&mut hand.holds, database) {
            (Some((role @ Role::Publishes, _)), Some(database)) => *role = Role::Marks(database),
            (Some((Role::Consumes(_), _)), _) => {}
            _ => self.lets_go(host, index),
        }
    }

    fn commits(&mut self, host: &'b str, database: &'b str, index: u64) {
        let hand = self.hand(host);
        (hand.worked_since, hand.idle_since) = (hand.idle_since, index);
        if hand
            .holds
            .is_some_and(|(role, _)| role == Role::Marks(database))
        {
            self.told.insert(index);
            self.lets_go(host, index);
        }
    }

    /// Tells what befell each host while it had an event in hand.
    fn befell(&mut self, history: &'b History) {
        for (host, hands) in std::mem::take(&mut self.hands) {
            if let Some((role, from)) = hands.holds {
                self.tenures.push(Tenure {
                    host,
                    group: group_of(role),
                    from,
                    to: None,
                });
            }
        }
        for tenure in std::mem::take(&mut self.tenures) {
            let from = usize::try_from(tenure.from).unwrap_or(usize::MAX);
            let during = history.events.iter().skip(from);
            let during = during.take_while(|event| tenure.to.is_none_or(|to| event.index <= to));
            let befell = during.filter(|event| tenure.befalls(event));
            let most = match tenure.to {
                Some(_) => usize::MAX,
                None => TOLD_WITHOUT_END,
            };
            for event in befell.take(most) {
                self.told.insert(event.index);
                self.tell_around(event, history);
            }
        }
    }

    /// The fault behind what befell a host, and the restart after it.
    fn tell_around(&mut self, event: &Event, history: &History) {
        let at = event.index as usize;
        let before = at.checked_sub(1).and_then(|at| history.events.get(at));
        if let Some(Event {
            index,
            what: What::FaultBit { .. },
            ..
        }) = before
        {
            self.told.insert(*index);
        }
        if matches!(event.what, What::HostCrashed | What::HostExited { .. }) {
            let mut later = history.events.iter().skip(at);
            let started = later.find(|later| {
                later.host == event.host && matches!(later.what, What::HostStarted { .. })
            });
            self.told.extend(started.map(|event| event.index));
        }
    }

    /// Tells what clients asked and were told of the entities of the story.
    fn answered(&mut self, history: &History) {
        let about = self.breach.about.iter().chain(&self.entities);
        let names: Vec<&str> = about.copied().filter(|name| name.len() > 3).collect();
        let asked = history.operations().into_iter().filter(|asked| {
            let text = asked.told.map(|told| told.text).unwrap_or_default();
            names.iter().any(|name| text.contains(*name))
        });
        for asked in asked.take(ANSWERS_MAX) {
            self.told.insert(asked.index);
            self.told.extend(asked.told.map(|told| told.index));
        }
    }

    fn is_about(&self, event_id: Option<&str>) -> bool {
        event_id.is_some_and(|id| self.breach.about.contains(&id))
    }

    fn is_group(&self, group: &str) -> bool {
        self.breach.group.is_none_or(|own| own == group)
    }

    /// Announcements of the story's events, and how they ended at every group: what the others did
    /// with an event shows what was to be expected of the one.
    fn is_fact(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Announced(announcement) => self.is_about(Some(&announcement.event_id)),
            Fact::Applied(application) | Fact::Discarded(application) => {
                self.is_about(Some(&application.event_id))
            }
        }
    }
}

fn group_of(role: Role<'_>) -> Option<&str> {
    match role {
        Role::Consumes(group) => Some(group),
        Role::Announces(_) | Role::Publishes | Role::Marks(_) => None,
    }
}

impl Tenure<'_> {
    /// Whether an event befell the host, or the group on whose behalf it had the event in hand.
    fn befalls(&self, event: &Event) -> bool {
        match &event.what {
            What::Rebalanced { group, .. } => self.group == Some(&**group),
            What::FaultBit { .. }
            | What::HostCrashed
            | What::HostExited { .. }
            | What::HostPaused { .. }
            | What::RolledBack { .. }
            | What::StatementFailed { .. }
            | What::ExternalCalled { .. } => *event.host == *self.host,
            _ => false,
        }
    }
}
