//! Parking: which copy of an event a parked message was made of, and which an effect came of.
//!
//! Deliveries tell what a consumer had in hand, but one that fetches ahead has several copies at once.

use super::{Effect, Handling, Parked, Published, Trail, Trails};
use crate::message::Position;

impl<'h> Trails<'h> {
    /// The park and the effect of one group that exclude each other: both of one copy, the event was not
    /// replayed after the park, by publishing it again or straight from the parked copy, and the effect
    /// was not forgotten when the copy was parked.
    pub(in crate::checker) fn parked_and_applied(
        &self,
        trail: &Trail<'h>,
        group: &str,
    ) -> Option<(u64, u64)> {
        let last_copy = trail.published.last().map_or(0, |copy| copy.index);
        let mut effects = trail
            .applied
            .iter()
            .filter(|effect| effect.consumer == group);
        effects.find_map(|effect| {
            trail
                .parked_by(group)
                .find(|parked| {
                    parked.original == effect.original
                        && parked.published.index > last_copy
                        && !trail.is_handed_on(parked, effect)
                        && !self.is_forgotten(group, effect.index, parked.published.index)
                })
                .map(|parked| (parked.published.index, effect.index))
        })
    }

    /// Whether a group may no longer know at one event what it has done at another.
    fn is_forgotten(&self, group: &str, done: u64, now: u64) -> bool {
        let group = self.history.description.groups.get(group);
        let at = |index: u64| {
            let event = self.history.events.get(index as usize);
            event.map(|event| event.at).unwrap_or_default()
        };
        let memory = group.and_then(|group| group.memory);
        memory.is_some_and(|memory| at(now).saturating_sub(at(done)) >= memory)
    }
}

impl<'h> Trail<'h> {
    /// Whether anybody was handed the parked copy before the effect came about.
    fn is_handed_on(&self, parked: &Parked<'h>, effect: &Effect<'h>) -> bool {
        let between = parked.published.index..effect.index;
        self.handled.iter().any(|handling| {
            handling.position == parked.published.position && between.contains(&handling.index)
        })
    }

    /// The first copy that a host was handed on behalf of a group and has not let go of, because what
    /// was fetched together is handled in turn; otherwise the last one, another host's where the effect
    /// came about elsewhere, such as in a relay.
    pub(super) fn in_hand(&self, group: &str, host: &str) -> Option<&'h Position> {
        let last = |own_host_only: bool| {
            let mut latest_first = self.handled_by(group).rev();
            latest_first.find(|held| !own_host_only || held.host == host)
        };
        let held = self.first_open(group, host, |_| true);
        let held = held.or_else(|| last(true)).or_else(|| last(false));
        held.map(|held| held.position)
    }

    /// The first of some copies that a host has in hand for a group.
    fn first_open(
        &self,
        group: &str,
        host: &str,
        wanted: impl Fn(&Handling<'h>) -> bool,
    ) -> Option<&Handling<'h>> {
        let mut handled = self.handled_by(group);
        handled.find(|held| held.host == host && held.over == u64::MAX && wanted(held))
    }

    /// A copy is settled: what its consumer committed since it was handed over, and settled nothing
    /// for yet, came of it.
    pub(super) fn came_of(&mut self, settled: &Handling<'h>) {
        let effects = self.applied.iter_mut().chain(&mut self.discarded);
        let own = effects.filter(|effect| {
            (effect.consumer, effect.host) == (settled.group, settled.host)
                && settled.index < effect.index
                && !effect.is_settled
        });
        for effect in own {
            effect.original = Some(settled.position);
            effect.is_settled = true;
        }
    }

    /// Whether a consumer applied the event as it was handed the copy at a position.
    pub(in crate::checker) fn came_to_effect(&self, group: &str, copy: &Position) -> bool {
        let mut effects = self.applied.iter();
        effects.any(|effect| effect.consumer == group && effect.original == Some(copy))
    }

    /// Whether a parked message repeats the copy at a position.
    pub(in crate::checker) fn is_repeated(&self, copy: &Position, parked: &Published<'_>) -> bool {
        let mut copies = self.published.iter().filter(|own| own.position == copy);
        copies.any(|own| own.message.payload == parked.message.payload)
    }

    /// The copy that a group parked: the first in hand that the message repeats, the last one that it
    /// repeats, or else the one in hand.
    fn original_of(&self, group: &str, parked: &Published<'h>) -> Option<&'h Position> {
        let is_repeated = |held: &Handling<'h>| self.is_repeated(held.position, parked);
        let mut latest_first = self.handled_by(group).rev();
        let repeated = self
            .first_open(group, parked.host, is_repeated)
            .or_else(|| latest_first.find(|held| is_repeated(held)));
        let repeated = repeated.map(|held| held.position);
        repeated.or_else(|| self.in_hand(group, parked.host))
    }
}

impl<'h> Trails<'h> {
    /// Books a message in a dead letter topic to the group that put it there. Where groups share
    /// the topic, that is a group for which the producer had been handed the event.
    pub(super) fn park(&mut self, trail: usize, published: Published<'h>) {
        let trail = &mut self.trails[trail];
        let sharing = &self.parking[&*published.position.topic];
        let held = |group: &str| {
            let mut handled = trail.handled_by(group);
            handled.any(|held| held.host == published.host)
        };
        let told_apart = sharing.len() > 1 && sharing.iter().any(|group| held(group));
        let parked: Vec<_> = sharing
            .iter()
            .filter(|group| !told_apart || held(group))
            .map(|group| Parked {
                group,
                published,
                original: trail.original_of(group, &published),
            })
            .collect();
        trail.parked.extend(parked);
    }
}
