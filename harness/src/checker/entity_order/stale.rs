//! Stale overwrites: an event is applied again, to what a younger event has been applied to since.

use std::collections::{BTreeMap, BTreeSet};

use super::super::breach::Breach;
use super::super::trail::{Effect, Trails};
use super::{StreamKey, ranks};

/// An effect in a stream, with the rank of its event.
struct Written<'t, 'h> {
    rank: u64,
    trail: usize,
    effect: &'t Effect<'h>,
}

/// The first effect in each stream that is an older event's, and not its first, after one of a younger event.
///
/// Only effects about the same entity are compared: an event may reach what it is about one by one. What a transaction
/// has written in between is seen by nobody.
pub(super) fn overwrites<'h>(trails: &Trails<'h>) -> Vec<Breach<'h>> {
    let streams = streams(trails);
    streams
        .into_iter()
        .filter_map(|((key, _), written)| {
            let (late, younger) = first_stale(&written)?;
            let name = |written: &Written<'_, 'h>| trails.trails[written.trail].name();
            let id = |written: &Written<'_, 'h>| trails.trails[written.trail].event_id;
            let summary = format!(
                "{} applied {} again after the younger {}",
                key.consumer,
                name(late),
                name(younger)
            );
            let breach = Breach::of(id(late), Some(key.consumer), late.effect.index, summary);
            Some(breach.by_rule("stale-overwrite").and_about([id(younger)]))
        })
        .collect()
}

/// The effects of each stream on each entity, in the order of the history.
fn streams<'t, 'h>(
    trails: &'t Trails<'h>,
) -> BTreeMap<(StreamKey<'h>, &'h str), Vec<Written<'t, 'h>>> {
    let mut streams: BTreeMap<_, Vec<Written<'t, 'h>>> = BTreeMap::new();
    for (trail, own) in trails.trails.iter().enumerate() {
        for effect in &own.applied {
            for (key, rank) in ranks(trails, effect.consumer, trail) {
                let stream = streams.entry((key, effect.application.entity.as_str()));
                stream.or_default().push(Written {
                    rank,
                    trail,
                    effect,
                });
            }
        }
    }
    for stream in streams.values_mut() {
        stream.sort_by_key(|written| written.effect.index);
    }
    streams
}

/// The first effect that is stale, and the younger one that it is written over.
fn first_stale<'w, 't, 'h>(
    written: &'w [Written<'t, 'h>],
) -> Option<(&'w Written<'t, 'h>, &'w Written<'t, 'h>)> {
    let mut applied = BTreeSet::new();
    let mut newest: Option<&Written<'_, '_>> = None;
    for commit in written.chunk_by(|one, other| one.effect.commit == other.effect.commit) {
        let last = commit.iter().max_by_key(|own| own.rank)?;
        match newest {
            Some(younger) if last.rank < younger.rank => {
                if applied.contains(&last.trail) {
                    return Some((last, younger));
                }
            }
            _ => newest = Some(last),
        }
        applied.extend(commit.iter().map(|own| own.trail));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::EntityOrder;
    use crate::checker::test_history::{Tale, assert_holds, broken_at, complaint};
    use crate::history::{Application, Fact};

    /// Commits and publishes two events of one order.
    fn two_events() -> Tale {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.brings("e2", "order-1");
        tale
    }

    /// `billing` commits effects in one transaction: event and what it is applied to.
    fn commits(tale: &mut Tale, effects: &[(&str, &str)]) -> u64 {
        let mut last = tale.commit("billing", "billing");
        for (event, entity) in effects {
            let fact = Fact::Applied(Application {
                consumer: "billing".to_owned(),
                event_id: (*event).to_owned(),
                entity: (*entity).to_owned(),
                effect: "addressed".to_owned(),
                correlation_id: String::new(),
            });
            last = tale.observes("billing", "billing", fact);
        }
        last
    }

    #[test]
    fn rejects_an_older_event_that_is_applied_again() {
        let mut tale = two_events();
        for id in ["e1", "e1", "e2"] {
            commits(&mut tale, &[(id, "order-1")]);
        }
        let stale = commits(&mut tale, &[("e1", "order-1")]);
        assert_eq!(broken_at(&EntityOrder, &tale), Some(stale));
        assert_eq!(
            complaint(&EntityOrder, &tale),
            "billing applied order.changed e1 of order-1 again after the younger order.changed e2 of order-1"
        );
    }

    #[test]
    fn accepts_a_younger_event_that_is_applied_again() {
        let mut tale = two_events();
        for id in ["e1", "e2", "e2"] {
            commits(&mut tale, &[(id, "order-1")]);
        }
        assert_holds(&EntityOrder, &tale);
    }

    #[test]
    fn accepts_what_the_same_transaction_writes_over() {
        let mut tale = two_events();
        for _ in 0..2 {
            commits(&mut tale, &[("e1", "order-1"), ("e2", "order-1")]);
        }
        assert_holds(&EntityOrder, &tale);
    }

    #[test]
    fn rejects_only_half_a_batch_again() {
        let mut tale = two_events();
        commits(&mut tale, &[("e1", "order-1"), ("e2", "order-1")]);
        let stale = commits(&mut tale, &[("e1", "order-1")]);
        assert_eq!(broken_at(&EntityOrder, &tale), Some(stale));
    }

    #[test]
    fn accepts_what_a_resumed_event_has_not_reached_yet() {
        let mut tale = two_events();
        for (id, article) in [("e1", "pen"), ("e2", "pen"), ("e1", "ink"), ("e2", "ink")] {
            commits(&mut tale, &[(id, article)]);
        }
        assert_holds(&EntityOrder, &tale);
    }
}
