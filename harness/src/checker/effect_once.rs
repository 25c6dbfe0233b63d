//! `effect-once`: an event changes a consumer's state once, however often it arrives.
//!
//! An event that is suppressed although it was never applied leaves no effect at all: that is for
//! `no-lost-event` to find, or for `one-event-per-id` where another event of that id was applied.

mod vacuity;

use std::collections::{BTreeMap, BTreeSet};

use super::breach::{Breach, judge};
use super::trail::{Effect, Trail, Trails};
use super::{Property, Verdict};
use crate::history::History;

/// A consumer applies an event at most once to each entity, whatever is redelivered or published
/// again.
///
/// One event may have effects on several entities, in one transaction or in several, as when a
/// batch is resumed where it broke off; and one transaction may leave several different rows about
/// one entity. Where a probe names no entity, all effects of an event count as being about one. An
/// entity that is new with every effect (the id of the row itself) hides a second one.
#[derive(Clone, Copy, Debug, Default)]
pub struct EffectOnce;

impl Property for EffectOnce {
    fn id(&self) -> &str {
        "effect-once"
    }

    fn promise(&self) -> &str {
        "one effect per consumer and event, whatever is redelivered"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let breaches = trails.trails.iter().flat_map(repeated);
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if vacuity::was_tempted(&trails) {
            return Verdict::Holds;
        }
        let reason = "no event reached a group again after it was applied, discarded or half done";
        Verdict::Vacuous(reason.to_owned())
    }
}

/// The second effect on an entity at every consumer that has one.
pub(super) fn repeated<'h>(trail: &Trail<'h>) -> Vec<Breach<'h>> {
    let mut kept: BTreeMap<(&str, &str), Vec<&Effect<'h>>> = BTreeMap::new();
    let mut accused = BTreeSet::new();
    let mut breaches = Vec::new();
    for effect in &trail.applied {
        let consumer = effect.consumer;
        let earlier = kept
            .entry((consumer, &effect.application.entity))
            .or_default();
        if earlier
            .iter()
            .all(|first| is_part_of_one_effect(first, effect))
        {
            earlier.push(effect);
        } else if accused.insert(consumer) {
            let summary = format!("{consumer} applied {} twice", trail.name());
            breaches.push(Breach::of(
                trail.event_id,
                Some(consumer),
                effect.index,
                summary,
            ));
        }
    }
    breaches
}

/// Whether two rows about one entity tell of one effect: one transaction wrote them, and they say
/// different things.
fn is_part_of_one_effect(one: &Effect<'_>, other: &Effect<'_>) -> bool {
    one.commit == other.commit && one.application.effect != other.application.effect
}

#[cfg(test)]
mod tests {
    use super::EffectOnce;
    use crate::checker::Property;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at, complaint};
    use crate::history::{Application, ExternalOutcome, Fact, What};

    #[test]
    fn accepts_a_redelivery_without_second_effect() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.applies("e1");
        tale.crashes("billing");
        tale.delivers("e1");
        tale.acks("e1");
        assert_holds(&EffectOnce, &tale);
    }

    /// `billing` commits effects of an event in one transaction: entity and what was done.
    fn commits(tale: &mut Tale, effects: &[(&str, &str)]) -> u64 {
        let mut last = tale.commit("billing", "billing");
        for (entity, effect) in effects {
            let fact = Fact::Applied(Application {
                consumer: "billing".to_owned(),
                event_id: "e1".to_owned(),
                entity: (*entity).to_owned(),
                effect: (*effect).to_owned(),
                correlation_id: String::new(),
            });
            last = tale.observes("billing", "billing", fact);
        }
        last
    }

    #[test]
    fn accepts_effects_on_several_entities_and_several_rows_of_one_effect() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        commits(&mut tale, &[("sku-a", "reserved"), ("sku-b", "reserved")]);
        tale.crashes("billing");
        tale.delivers("e1");
        commits(&mut tale, &[("sku-c", "reserved"), ("sku-c", "reordered")]);
        tale.acks("e1");
        assert_holds(&EffectOnce, &tale);
    }

    #[test]
    fn rejects_a_second_effect_on_one_of_several_entities() {
        for twice in [&[("sku-b", "reserved")][..], &[("sku-b", "other words")]] {
            let mut tale = Tale::on_kafka();
            tale.brings("e1", "order-1");
            commits(&mut tale, &[("sku-a", "reserved"), ("sku-b", "reserved")]);
            let twice = commits(&mut tale, twice);
            assert_eq!(broken_at(&EffectOnce, &tale), Some(twice));
        }
    }

    #[test]
    fn rejects_two_equal_rows_of_one_transaction() {
        for row in [("sku-a", "reserved"), ("", "reserved"), ("", "")] {
            let mut tale = Tale::on_kafka();
            tale.brings("e1", "order-1");
            let twice = commits(&mut tale, &[row, row]);
            assert_eq!(broken_at(&EffectOnce, &tale), Some(twice), "{row:?}");
        }
    }

    #[test]
    fn rejects_a_second_effect_that_names_no_entity() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        commits(&mut tale, &[("", "balance 10")]);
        let twice = commits(&mut tale, &[("", "balance 20")]);
        assert_eq!(broken_at(&EffectOnce, &tale), Some(twice));
    }

    #[test]
    fn rejects_a_second_effect_of_a_redelivery() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        let first = tale.applies("e1");
        let crashed = tale.crashes("billing");
        let delivered = tale.delivers("e1");
        let second = tale.applies("e1");
        tale.applies("e1");
        assert_eq!(broken_at(&EffectOnce, &tale), Some(second));
        assert_eq!(
            complaint(&EffectOnce, &tale),
            "billing applied order.changed e1 of order-1 twice"
        );
        let verdict = EffectOnce.check(&tale.history);
        let chain = &verdict.witness().expect("broken").chain;
        assert!(
            [first, crashed, delivered, second]
                .iter()
                .all(|index| chain.contains(index))
        );
    }

    #[test]
    fn rejects_a_second_effect_of_a_second_copy() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.applies("e1");
        tale.publishes("e1", "order-1");
        tale.delivers("e1");
        let second = tale.applies("e1");
        assert_eq!(broken_at(&EffectOnce, &tale), Some(second));
    }

    #[test]
    fn is_put_to_the_test_by_a_handling_that_may_be_half_done() {
        let unanswered = What::ExternalCalled {
            provider: "bank".into(),
            idempotency_key: "e1".to_owned(),
            request: serde_json::Value::Null,
            outcome: ExternalOutcome::Booked,
            answered: false,
        };
        let failed = What::StatementFailed {
            database: "billing".into(),
            error: "database is locked".to_owned(),
        };
        for mishap in [unanswered, failed] {
            let mut tale = Tale::on_kafka();
            tale.brings("e1", "order-1");
            tale.happens("billing", mishap);
            tale.delivers("e1");
            tale.applies("e1");
            assert_holds(&EffectOnce, &tale);
        }
    }

    #[test]
    fn is_vacuous_if_nothing_was_done_before_the_redelivery() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.rebalances();
        tale.delivers("e1");
        tale.applies("e1");
        tale.acks("e1");
        assert_vacuous(&EffectOnce, &tale);
    }

    #[test]
    fn is_vacuous_if_the_group_does_not_want_what_arrived_twice() {
        let mut tale = Tale::on_kafka();
        let billing = tale.history.description.groups.get_mut("billing");
        billing.expect("billing").event_types = vec!["other".to_owned()];
        tale.brings("e1", "order-1");
        tale.crashes("billing");
        tale.delivers("e1");
        tale.acks("e1");
        assert_vacuous(&EffectOnce, &tale);
    }

    #[test]
    fn is_vacuous_if_nothing_arrived_twice() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.applies("e1");
        tale.publishes("e1", "order-1");
        assert_vacuous(&EffectOnce, &tale);
    }
}
