//! Handlings: each delivery of a poison event, how it ended, and whether the event was parked in it.
//!
//! It says what happened; what should have happened is for the routing rules.

use std::collections::BTreeMap;

use super::trouble::Troubles;
use crate::broker::Profile;
use crate::checker::trail::Trails;
use crate::history::{Event, History, SettleOutcome, Settlement, What};
use crate::message::Position;

/// How the handling of one delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The broker took the acknowledgement.
    Acknowledged,
    /// The consumer gave it back, and nothing but the message itself can have been the cause.
    Failed,
    /// The consumer gave it back when something else had gone wrong too.
    Excused,
    /// The consumer did not settle it, or too late.
    Interrupted,
}

/// One delivery of a poison event to a group.
#[derive(Clone, Debug)]
pub(super) struct Handling<'h> {
    pub(super) host: &'h str,
    pub(super) position: &'h Position,
    pub(super) delivered: u64,
    pub(super) end: End,
    /// Where it was settled, if it was.
    pub(super) settled: Option<u64>,
    /// Messages in the dead letter topic that came of it, with the host that published each.
    pub(super) parks: Vec<(u64, &'h str)>,
}

/// A poison message that an accepted acknowledgement settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled<'h> {
    pub(super) trail: usize,
    pub(super) group: &'h str,
    pub(super) host: &'h str,
    pub(super) index: u64,
    /// The last delivery before it.
    pub(super) delivered: u64,
}

/// All handlings of poison events, and all settled positions of theirs.
pub(super) struct Handlings<'h> {
    /// By event and group, in the order of delivery.
    pub(super) by_event: BTreeMap<(usize, &'h str), Vec<Handling<'h>>>,
    pub(super) settled: Vec<Settled<'h>>,
}

impl<'h> Handlings<'h> {
    /// Follows the events for which `is_poison` holds through the history.
    pub(super) fn follow(
        trails: &Trails<'h>,
        troubles: &Troubles<'h>,
        is_poison: impl Fn(usize) -> bool,
    ) -> Self {
        let mut follower = Follower {
            trails,
            troubles,
            is_poison,
            open: BTreeMap::new(),
            handlings: Handlings {
                by_event: BTreeMap::new(),
                settled: Vec::new(),
            },
        };
        for event in &trails.history.events {
            follower.read(event);
        }
        follower.handlings
    }
}

/// One partition as one group sees it.
type Lane<'h> = (&'h str, &'h str, u32);

struct Follower<'t, 'h, P> {
    trails: &'t Trails<'h>,
    troubles: &'t Troubles<'h>,
    is_poison: P,
    /// Poison that was delivered and not settled yet, by offset: event and last delivery.
    open: BTreeMap<Lane<'h>, BTreeMap<u64, (usize, u64)>>,
    handlings: Handlings<'h>,
}

impl<'h, P: Fn(usize) -> bool> Follower<'_, 'h, P> {
    fn read(&mut self, event: &'h Event) {
        match &event.what {
            What::Delivered {
                group, position, ..
            } => self.delivered(event, group, position),
            What::Settled {
                group,
                position,
                settlement,
                outcome,
                ..
            } => {
                let accepted = *outcome == SettleOutcome::Accepted;
                self.handled(event, group, position, *settlement, accepted);
                if accepted && *settlement == Settlement::Ack {
                    self.settled(event, group, position);
                }
            }
            What::Published { position, .. } if self.trails.is_dead_letters(&position.topic) => {
                self.parked(event, position);
            }
            _ => {}
        }
    }

    fn poison_at(&self, position: &Position) -> Option<usize> {
        self.trails
            .at(position)
            .filter(|trail| (self.is_poison)(*trail))
    }

    /// Whether the group wants the event and has somewhere to park it.
    fn judges(&self, group: &str, position: &Position, trail: usize) -> bool {
        let event_type = self.trails.trails[trail].event_type();
        let group = self.trails.history.description.groups.get(group);
        group.is_some_and(|group| {
            group.dead_letters.is_some() && group.wants(&position.topic, event_type)
        })
    }

    fn delivered(&mut self, event: &'h Event, group: &'h str, position: &'h Position) {
        let Some(trail) = self.poison_at(position) else {
            return;
        };
        if !self.judges(group, position, trail) {
            return;
        }
        let lane = (group, &*position.topic, position.partition);
        self.open
            .entry(lane)
            .or_default()
            .insert(position.offset, (trail, event.index));
        self.handlings
            .by_event
            .entry((trail, group))
            .or_default()
            .push(Handling {
                host: &event.host,
                position,
                delivered: event.index,
                end: End::Interrupted,
                settled: None,
                parks: Vec::new(),
            });
    }

    /// Closes the handling that a settlement speaks of: the last one at that host.
    fn handled(
        &mut self,
        event: &'h Event,
        group: &'h str,
        position: &Position,
        settlement: Settlement,
        accepted: bool,
    ) {
        let Some(trail) = self.poison_at(position) else {
            return;
        };
        let handlings = self
            .handlings
            .by_event
            .get_mut(&(trail, group))
            .into_iter()
            .flatten();
        let mut latest_first = handlings.rev();
        let own = latest_first.find(|handling| {
            handling.position == position
                && *handling.host == *event.host
                && handling.settled.is_none()
        });
        let Some(handling) = own else { return };
        handling.settled = Some(event.index);
        let troubled = self
            .troubles
            .between(&event.host, handling.delivered, event.index);
        handling.end = match (settlement, accepted) {
            (_, false) => End::Interrupted,
            (Settlement::Ack, true) => End::Acknowledged,
            (Settlement::Retry, true) if troubled => End::Excused,
            (Settlement::Retry, true) => End::Failed,
        };
    }

    /// Notes which poison an accepted acknowledgement settles: with Kafka, everything up to it.
    fn settled(&mut self, event: &'h Event, group: &'h str, position: &'h Position) {
        let lane = (group, &*position.topic, position.partition);
        let Some(open) = self.open.get_mut(&lane) else {
            return;
        };
        let cumulative = is_cumulative(self.trails.history);
        let first = if cumulative { 0 } else { position.offset };
        let offsets: Vec<u64> = open
            .range(first..=position.offset)
            .map(|(&offset, _)| offset)
            .collect();
        for offset in offsets {
            if let Some((trail, delivered)) = open.remove(&offset) {
                self.handlings.settled.push(Settled {
                    trail,
                    group,
                    host: &event.host,
                    index: event.index,
                    delivered,
                });
            }
        }
    }

    /// Books a parked message to the handling that it came of.
    fn parked(&mut self, event: &'h Event, position: &Position) {
        let Some(trail) = self.poison_at(position) else {
            return;
        };
        let booked = self.trails.trails[trail].parked.iter();
        for parked in booked.filter(|parked| parked.published.index == event.index) {
            let Some(handlings) = self.handlings.by_event.get_mut(&(trail, parked.group)) else {
                continue;
            };
            let own = busy_with(handlings, &event.host);
            handlings[own].parks.push((event.index, &event.host));
        }
    }
}

/// The handling that a host is busy with when it parks one of several copies of an event: the oldest
/// that it has not settled, because copies that came in one batch are handled one after the other. A
/// handling that was repeated since, here or elsewhere, is over. Where none is left open it is the last
/// one at that host.
fn busy_with(handlings: &[Handling<'_>], host: &str) -> usize {
    let is_repeated = |number: usize| {
        let later = &handlings[number + 1..];
        later
            .iter()
            .any(|other| other.position == handlings[number].position)
    };
    let open = handlings.iter().enumerate().position(|(number, handling)| {
        handling.host == host && handling.settled.is_none() && !is_repeated(number)
    });
    let last = || handlings.iter().rposition(|handling| handling.host == host);
    open.or_else(last).unwrap_or(handlings.len() - 1)
}

fn is_cumulative(history: &History) -> bool {
    matches!(history.description.profile, Profile::Kafka(_))
}
