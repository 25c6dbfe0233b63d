//! `entity-order`: effects on one entity come in the order in which its events were committed.
//!
//! Events of different databases, topics or entities are not compared, because no commit order
//! exists between them that a consumer could keep. A second effect of one event is the business of
//! `effect-once`, a missing one of `no-lost-event`; but a second effect that comes after one of a younger event has also written
//! something old over something new, which no consumer does that keeps the newest version.
//!
//! A discarded event was decided on, so an older one that is applied afterwards came too late: a
//! cancellation that finds nothing to cancel, before the order that it is about. Only what was parked
//! by then may come after it, because whoever replays it knows that others went on.

mod stale;

use std::collections::{BTreeMap, BTreeSet};

use super::breach::{Breach, judge};
use super::trail::{Trail, Trails};
use super::{Property, Verdict};
use crate::history::History;

/// Per consumer and entity, effects apply in the order in which their events were committed, and
/// none overtakes a predecessor that is parked.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntityOrder;

impl Property for EntityOrder {
    fn id(&self) -> &str {
        "entity-order"
    }

    fn promise(&self) -> &str {
        "per entity, effects apply in the order in which their events were committed"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let mut progress = Progress {
            trails: &trails,
            streams: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        let breach = steps(&trails)
            .into_iter()
            .find_map(|step| progress.take(&step));
        if let Some(broken) = judge(
            history,
            breach.into_iter().chain(stale::overwrites(&trails)),
        ) {
            return broken;
        }
        if progress.streams.values().any(|stream| stream.applied > 1) {
            return Verdict::Holds;
        }
        Verdict::Vacuous(
            "no consumer applied two events of one entity that came by one topic".to_owned(),
        )
    }
}

/// What a consumer did with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Applied,
    Parked,
    Discarded,
}

/// One outcome at one consumer.
struct Step<'h> {
    index: u64,
    consumer: &'h str,
    trail: usize,
    outcome: Outcome,
}

/// All outcomes, in the order of the history.
fn steps<'h>(trails: &Trails<'h>) -> Vec<Step<'h>> {
    let mut steps = Vec::new();
    for (number, trail) in trails.trails.iter().enumerate() {
        let mut push = |index, consumer, outcome| {
            steps.push(Step {
                index,
                consumer,
                trail: number,
                outcome,
            });
        };
        for effect in &trail.applied {
            push(effect.index, effect.consumer, Outcome::Applied);
        }
        for effect in &trail.discarded {
            push(effect.index, effect.consumer, Outcome::Discarded);
        }
        for parked in &trail.parked {
            push(parked.published.index, parked.group, Outcome::Parked);
        }
    }
    steps.sort_by_key(|step| step.index);
    steps
}

/// Events whose order a consumer has to keep: one entity, in one topic, committed to one database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StreamKey<'h> {
    consumer: &'h str,
    database: &'h str,
    topic: &'h str,
    entity: &'h str,
}

/// The streams that an event belongs to for this consumer, with its rank there.
fn ranks<'h>(trails: &Trails<'h>, consumer: &'h str, trail: usize) -> Vec<(StreamKey<'h>, u64)> {
    let trail = &trails.trails[trail];
    let group = trails.history.description.groups.get(consumer);
    let entity = trail.entity();
    let announced = trail
        .announced
        .iter()
        .map(|seen| (trail.topic_of(seen), seen));
    announced
        .filter(|(topic, _)| {
            !entity.is_empty() && group.is_none_or(|group| group.wants(topic, trail.event_type()))
        })
        .map(|(topic, seen)| {
            let key = StreamKey {
                consumer,
                database: seen.database,
                topic,
                entity,
            };
            (key, seen.index)
        })
        .collect()
}

/// How far a consumer has come in one stream. Events are ranked by where they were announced.
#[derive(Default)]
struct Stream {
    applied: usize,
    /// The youngest event that was applied: rank and trail.
    youngest: Option<(u64, usize)>,
    /// The youngest event that was discarded: rank and trail.
    youngest_discarded: Option<(u64, usize)>,
    /// Events that are parked and neither applied nor discarded since, by rank.
    parked: BTreeMap<u64, usize>,
    /// Events that were parked when a younger one was discarded, by rank.
    left_behind: BTreeSet<u64>,
}

struct Progress<'t, 'h> {
    trails: &'t Trails<'h>,
    streams: BTreeMap<StreamKey<'h>, Stream>,
    /// Events that a consumer has applied or discarded: what else it does with them is no news.
    ended: BTreeSet<(&'h str, usize)>,
}

impl<'h> Progress<'_, 'h> {
    /// Takes one more outcome into account.
    fn take(&mut self, step: &Step<'h>) -> Option<Breach<'h>> {
        if self.ended.contains(&(step.consumer, step.trail)) {
            return None;
        }
        if step.outcome != Outcome::Parked {
            self.ended.insert((step.consumer, step.trail));
        }
        ranks(self.trails, step.consumer, step.trail)
            .into_iter()
            .find_map(|(key, rank)| self.advance(key, rank, step))
    }

    fn advance(&mut self, key: StreamKey<'h>, rank: u64, step: &Step<'h>) -> Option<Breach<'h>> {
        let stream = self.streams.entry(key).or_default();
        let ended = match stream.left_behind.contains(&rank) {
            true => stream.youngest,
            false => stream.youngest.max(stream.youngest_discarded),
        };
        let is_younger = |(youngest, _): &(u64, usize)| *youngest > rank;
        let younger = match step.outcome {
            Outcome::Applied => ended.filter(is_younger),
            Outcome::Parked | Outcome::Discarded => stream.youngest.filter(is_younger),
        };
        let older_parked = stream.parked.range(..rank).next().map(|(_, &trail)| trail);
        match step.outcome {
            Outcome::Applied => {
                stream.applied += 1;
                stream.parked.remove(&rank);
                stream.youngest = stream.youngest.max(Some((rank, step.trail)));
            }
            Outcome::Parked => {
                stream.parked.insert(rank, step.trail);
            }
            Outcome::Discarded => {
                stream.parked.remove(&rank);
                let older = stream.parked.range(..rank).map(|(&older, _)| older);
                stream.left_behind.extend(older);
                stream.youngest_discarded = stream.youngest_discarded.max(Some((rank, step.trail)));
            }
        }
        let (own, consumer) = (&self.trails.trails[step.trail], step.consumer);
        let tell = |rule, other: usize, text: &dyn Fn(&Trail<'h>) -> String| {
            let other = &self.trails.trails[other];
            Breach::of(own.event_id, Some(consumer), step.index, text(other))
                .by_rule(rule)
                .and_about([other.event_id])
        };
        match (step.outcome, younger, older_parked) {
            (Outcome::Applied, Some((_, younger)), _) => {
                Some(tell("applied-late", younger, &|younger| {
                    format!(
                        "{consumer} applied {} after the younger {}",
                        own.name(),
                        younger.name()
                    )
                }))
            }
            (Outcome::Parked, Some((_, younger)), _) => {
                Some(tell("parked-late", younger, &|younger| {
                    format!(
                        "{consumer} parked {} when the younger {} was applied already",
                        own.name(),
                        younger.name()
                    )
                }))
            }
            (Outcome::Applied, None, Some(older)) => {
                Some(tell("overtook-parked", older, &|older| {
                    format!(
                        "{consumer} applied {} although {} before it is parked",
                        own.name(),
                        older.name()
                    )
                }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EntityOrder;
    use crate::checker::test_history::{
        Tale, assert_holds, assert_vacuous, broken_at, complaint, flow,
    };

    /// Commits, in this order, and publishes events of one order.
    fn committed(ids: &[&str]) -> Tale {
        let mut tale = Tale::on_kafka();
        for id in ids {
            tale.brings(id, "order-1");
        }
        tale
    }

    #[test]
    fn accepts_commit_order_and_any_order_across_entities() {
        let mut tale = committed(&["e1", "e2"]);
        tale.brings("other", "order-2");
        tale.applies("other");
        tale.applies("e1");
        tale.applies("e2");
        assert_holds(&EntityOrder, &tale);
    }

    #[test]
    fn accepts_a_second_effect_before_the_younger_event_is_applied() {
        let mut tale = committed(&["e1", "e2"]);
        tale.applies("e1");
        tale.applies("e1");
        tale.applies("e2");
        tale.parks("e1");
        assert_holds(&EntityOrder, &tale);
    }

    #[test]
    fn accepts_a_parked_predecessor_that_was_replayed_or_given_up_first() {
        let mut tale = committed(&["e1", "e2", "e3"]);
        tale.parks("e1");
        tale.parks("e2");
        tale.discards("e1");
        tale.applies("e2");
        tale.applies("e3");
        assert_holds(&EntityOrder, &tale);
    }

    #[test]
    fn events_of_two_databases_are_not_compared() {
        let mut tale = committed(&["e1", "e2"]);
        tale.announces("archive", flow("e3", "order-1", "", ""));
        for id in ["e3", "e1", "e2"] {
            tale.applies(id);
        }
        assert_holds(&EntityOrder, &tale);
    }

    #[test]
    fn rejects_an_inversion() {
        let mut tale = committed(&["e1", "e2"]);
        tale.applies("e2");
        let late = tale.applies("e1");
        assert_eq!(broken_at(&EntityOrder, &tale), Some(late));
        assert_eq!(
            complaint(&EntityOrder, &tale),
            "billing applied order.changed e1 of order-1 after the younger order.changed e2 of order-1"
        );
    }

    #[test]
    fn rejects_an_effect_after_the_younger_event_was_discarded() {
        let mut tale = committed(&["e1", "e2"]);
        tale.discards("e2");
        let late = tale.applies("e1");
        assert_eq!(broken_at(&EntityOrder, &tale), Some(late));
    }

    #[test]
    fn accepts_what_was_parked_after_the_younger_event_was_discarded() {
        let mut tale = committed(&["e1", "e2", "e3"]);
        tale.parks("e1");
        tale.discards("e2");
        tale.applies("e1");
        tale.applies("e3");
        assert_holds(&EntityOrder, &tale);
    }

    #[test]
    fn rejects_overtaking_a_parked_predecessor() {
        let mut tale = committed(&["e1", "e2"]);
        tale.parks("e1");
        let overtaking = tale.applies("e2");
        tale.applies("e1");
        assert_eq!(broken_at(&EntityOrder, &tale), Some(overtaking));
    }

    #[test]
    fn rejects_parking_what_was_overtaken() {
        let mut tale = committed(&["e1", "e2"]);
        tale.applies("e2");
        let parked = tale.parks("e1");
        assert_eq!(broken_at(&EntityOrder, &tale), Some(parked));
    }

    #[test]
    fn is_vacuous_without_two_effects_on_one_entity() {
        let mut tale = committed(&["e1", "e2"]);
        tale.brings("other", "order-2");
        tale.applies("e1");
        tale.applies("e1");
        tale.applies("other");
        assert_vacuous(&EntityOrder, &tale);
    }
}
