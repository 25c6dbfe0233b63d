//! `fencing`: who has lost a partition or a lease has no say in it any more.
//!
//! A consumer that was paused, or cut off, does not know that its messages were given to somebody else. What it had begun it
//! may still finish, as long as nobody else has: the inbox lets one of the two through. What is judged is that it does not
//! write behind the back of a new owner who has gone past it, and that it stops once the broker has told it. That the
//! broker refuses old settlements is its own business (`log`), but for those that it takes.

use std::collections::{BTreeMap, BTreeSet};

use super::breach::{Breach, judge};
use super::trail::{Effect, Trails};
use super::{Property, Verdict};
use crate::history::{Event, History, SettleOutcome, What};
use crate::message::Position;

/// No effect of a consumer on a message that was given to another one, once that one has finished the message or a later one
/// of its key; none on what it was handed before it was told that its generation is over; and no settlement under a
/// generation that is over has an effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fencing;

impl Property for Fencing {
    fn id(&self) -> &str {
        "fencing"
    }

    fn promise(&self) -> &str {
        "no effect and no settlement by a consumer that no longer owns the key"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let ownership = Ownership::of(history);
        let ended: Vec<Ended<'_>> = ended(&trails).collect();
        let applied = trails.trails.iter().flat_map(|trail| &trail.applied);
        let of_effects = applied.filter_map(|effect| {
            let handed = ownership.handed_for(effect)?;
            let breach = ownership.behind_the_back(effect, &handed, &ended);
            breach.or_else(|| ownership.went_on(effect, &handed))
        });
        let of_settlements = history
            .events
            .iter()
            .filter_map(|event| settled_late(event, &ownership));
        if let Some(broken) = judge(history, of_effects.chain(of_settlements)) {
            return broken;
        }
        if !ownership.has_changed_hands() {
            return Verdict::Vacuous(
                "nothing was taken from a consumer that had it in hand".to_owned(),
            );
        }
        Verdict::Holds
    }
}

/// A message in the hands of a consumer.
#[derive(Clone, Copy)]
struct Handed<'h> {
    index: u64,
    host: &'h str,
    position: &'h Position,
    generation: u64,
}

/// What a consumer was told: its generation is over.
struct Fenced<'h> {
    index: u64,
    host: &'h str,
    topic: &'h str,
    partition: u32,
    generation: u64,
}

/// An effect or an audit entry that finished a message.
struct Ended<'h> {
    index: u64,
    host: &'h str,
    group: &'h str,
    position: &'h Position,
}

fn ended<'t, 'h>(trails: &'t Trails<'h>) -> impl Iterator<Item = Ended<'h>> + use<'t, 'h> {
    let ends = trails
        .trails
        .iter()
        .flat_map(|trail| trail.applied.iter().chain(&trail.discarded));
    ends.filter_map(|end| {
        Some(Ended {
            index: end.index,
            host: end.host,
            group: end.consumer,
            position: end.original?,
        })
    })
}

/// Who had what in hand when.
#[derive(Default)]
struct Ownership<'h> {
    /// The deliveries of each group, in their order.
    handed: BTreeMap<&'h str, Vec<Handed<'h>>>,
    fenced: BTreeMap<&'h str, Vec<Fenced<'h>>>,
    /// The generations of each group, by the event that began them.
    generations: BTreeMap<&'h str, Vec<(u64, u64)>>,
    keys: BTreeMap<&'h Position, &'h str>,
    /// What its group has settled.
    settled: BTreeSet<(&'h str, &'h Position)>,
    /// Deliveries of what another host of the group had and had not settled.
    taken: usize,
}

impl<'h> Ownership<'h> {
    fn of(history: &'h History) -> Self {
        let mut ownership = Ownership::default();
        for event in &history.events {
            ownership.read(event);
        }
        ownership
    }

    fn read(&mut self, event: &'h Event) {
        let (index, host) = (event.index, &*event.host);
        match &event.what {
            What::Published { position, message } => {
                self.keys.insert(position, &message.key);
            }
            What::Rebalanced {
                group, generation, ..
            } => {
                let generations = self.generations.entry(group).or_default();
                generations.push((index, *generation));
            }
            What::Delivered {
                group,
                position,
                generation,
                ..
            } => {
                let handed = self.handed.entry(group).or_default();
                let mut before = handed.iter().filter(|own| own.position == position);
                let is_taken = before.next_back().is_some_and(|own| own.host != host);
                self.taken +=
                    usize::from(is_taken && !self.settled.contains(&(&**group, position)));
                handed.push(Handed {
                    index,
                    host,
                    position,
                    generation: *generation,
                });
            }
            What::Settled {
                group,
                position,
                outcome,
                generation,
                ..
            } => match outcome {
                SettleOutcome::Accepted => {
                    self.settled.insert((group, position));
                }
                SettleOutcome::Fenced => {
                    let fenced = self.fenced.entry(group).or_default();
                    fenced.push(Fenced {
                        index,
                        host,
                        topic: &position.topic,
                        partition: position.partition,
                        generation: *generation,
                    });
                }
                SettleOutcome::Stale => {}
            },
            _ => {}
        }
    }

    fn has_changed_hands(&self) -> bool {
        self.taken > 0 || !self.fenced.is_empty()
    }

    /// The delivery that an effect comes of.
    fn handed_for(&self, effect: &Effect<'h>) -> Option<Handed<'h>> {
        let position = effect.original?;
        let handed = self.handed.get(effect.consumer)?.iter();
        let own = handed.filter(|own| own.host == effect.host && own.position == position);
        own.take_while(|own| own.index < effect.index)
            .last()
            .copied()
    }

    /// An effect on what was given to another consumer, who has finished it or a later message of its key.
    fn behind_the_back(
        &self,
        effect: &Effect<'h>,
        own: &Handed<'h>,
        ended: &[Ended<'h>],
    ) -> Option<Breach<'h>> {
        let group = effect.consumer;
        let handed = self.handed.get(group)?.iter();
        let given =
            handed.filter(|other| other.position == own.position && other.index > own.index);
        let mut given = given.filter(|other| other.index < effect.index && other.host != own.host);
        let given = given.next()?;
        let is_past = |end: &&Ended<'h>| {
            end.group == group
                && end.host == given.host
                && (given.index..effect.index).contains(&end.index)
                && is_same_or_later(end.position, own.position)
                && self.keys.get(end.position) == self.keys.get(own.position)
        };
        let past = ended.iter().find(is_past)?;
        let summary = format!(
            "{} of {group} wrote its effect of {} after {} had taken it over and gone past it",
            own.host, own.position, given.host
        );
        let id = &effect.application.event_id;
        let breach = Breach::of(id, Some(group), effect.index, summary);
        Some(
            breach
                .by_rule("behind-the-back")
                .inevitable_from(past.index),
        )
    }

    /// An effect on what was handed out before its consumer was told that it owns nothing any more.
    fn went_on(&self, effect: &Effect<'h>, own: &Handed<'h>) -> Option<Breach<'h>> {
        let group = effect.consumer;
        let told = self.fenced.get(group)?.iter().find(|told| {
            told.host == own.host
                && *told.topic == *own.position.topic
                && told.partition == own.position.partition
                && own.generation <= told.generation
                && own.index < told.index
                && told.index < effect.index
        })?;
        let summary = format!(
            "{} of {group} went on with {} after it was told that another consumer owns {}/{}",
            own.host, own.position, told.topic, told.partition
        );
        let id = &effect.application.event_id;
        let breach = Breach::of(id, Some(group), effect.index, summary);
        Some(breach.by_rule("went-on").inevitable_from(told.index))
    }

    /// A group's generation at an event.
    fn generation(&self, group: &str, index: u64) -> u64 {
        let generations = self.generations.get(group).into_iter().flatten();
        let begun = generations.take_while(|(began, _)| *began < index);
        begun.last().map_or(0, |(_, generation)| *generation)
    }
}

fn is_same_or_later(one: &Position, other: &Position) -> bool {
    (&one.topic, one.partition) == (&other.topic, other.partition) && one.offset >= other.offset
}

/// A settlement that the broker took although its generation was over.
fn settled_late<'h>(event: &'h Event, ownership: &Ownership<'h>) -> Option<Breach<'h>> {
    let What::Settled {
        group,
        position,
        outcome: SettleOutcome::Accepted,
        generation,
        ..
    } = &event.what
    else {
        return None;
    };
    (*generation < ownership.generation(group, event.index)).then(|| {
        let summary = format!(
            "{} settled {position} under a generation that is over",
            event.host
        );
        let breach = Breach::at(event.index, summary);
        breach.by_rule("settled-late")
    })
}

#[cfg(test)]
mod tests {
    use super::Fencing;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, at, broken_at, effect};
    use crate::checker::{Property, Verdict};
    use crate::history::{Fact, SettleOutcome, Settlement, What};

    /// Another instance of `billing` is handed what stands at an offset of `orders`.
    fn delivers_to_the_other(tale: &mut Tale, offset: u64, generation: u64) -> u64 {
        let delivered = What::Delivered {
            group: "billing".into(),
            position: at("orders", offset),
            attempt: 2,
            generation,
        };
        tale.happens("billing-2", delivered)
    }

    /// The other instance commits the effect of an event.
    fn other_applies(tale: &mut Tale, id: &str) -> u64 {
        tale.commit("billing-2", "billing");
        tale.observes("billing-2", "billing", Fact::Applied(effect(id, "")))
    }

    /// `billing` has `e1` in hand when its partition goes to `billing-2`.
    fn given_away() -> Tale {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.rebalances();
        delivers_to_the_other(&mut tale, 0, 2);
        tale
    }

    fn rule(tale: &Tale) -> String {
        match Fencing.check(&tale.history) {
            Verdict::Broken(witness) => witness.rule,
            other => panic!("expected a breach, got {other:?}"),
        }
    }

    #[test]
    fn accepts_the_old_owner_as_long_as_the_new_one_has_done_nothing() {
        let mut tale = given_away();
        tale.applies("e1");
        assert_holds(&Fencing, &tale);
    }

    #[test]
    fn accepts_an_old_owner_that_stops() {
        let mut tale = given_away();
        other_applies(&mut tale, "e1");
        tale.settles(at("orders", 0), Settlement::Ack, SettleOutcome::Fenced);
        assert_holds(&Fencing, &tale);
    }

    #[test]
    fn accepts_who_is_handed_it_again() {
        let mut tale = given_away();
        tale.rebalances();
        tale.delivers("e1");
        tale.applies("e1");
        tale.acks("e1");
        assert_holds(&Fencing, &tale);
    }

    #[test]
    fn rejects_an_effect_behind_the_back_of_the_new_owner() {
        let mut tale = given_away();
        other_applies(&mut tale, "e1");
        let zombie = tale.applies("e1");
        assert_eq!(broken_at(&Fencing, &tale), Some(zombie));
        assert_eq!(rule(&tale), "behind-the-back");
    }

    #[test]
    fn rejects_who_goes_on_after_it_was_told() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.brings("e2", "order-2");
        tale.settles(at("orders", 0), Settlement::Ack, SettleOutcome::Fenced);
        let went_on = tale.applies("e2");
        assert_eq!(broken_at(&Fencing, &tale), Some(went_on));
        assert_eq!(rule(&tale), "went-on");
    }

    #[test]
    fn rejects_a_settlement_under_an_old_generation() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.rebalances();
        let settled = tale.happens(
            "billing",
            What::Settled {
                group: "billing".into(),
                position: at("orders", 0),
                settlement: Settlement::Ack,
                outcome: SettleOutcome::Accepted,
                generation: 1,
            },
        );
        assert_eq!(broken_at(&Fencing, &tale), Some(settled));
        assert_eq!(rule(&tale), "settled-late");
    }

    #[test]
    fn is_vacuous_where_nothing_changes_hands() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.applies("e1");
        tale.acks("e1");
        assert_vacuous(&Fencing, &tale);
    }
}
