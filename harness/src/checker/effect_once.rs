//! `effect-once`: an event changes a consumer's state once, however often it arrives.
//!
//! An event that is suppressed although it was never applied leaves no effect at all: that is for
//! `no-lost-event` to find.

use std::collections::BTreeMap;

use super::breach::{Breach, judge};
use super::trail::{Trail, Trails};
use super::{Property, Verdict};
use crate::history::History;

/// A consumer applies an event at most once, whatever is redelivered or published again.
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
        if let Some(broken) = judge(history, trails.trails.iter().flat_map(repeated)) {
            return broken;
        }
        if trails
            .trails
            .iter()
            .any(|trail| reached_a_group_twice(&trails, trail))
        {
            return Verdict::Holds;
        }
        Verdict::Vacuous("no event reached a group twice".to_owned())
    }
}

/// The second effect at every consumer that has one.
fn repeated<'h>(trail: &Trail<'h>) -> Vec<Breach<'h>> {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    let mut breaches = Vec::new();
    for effect in &trail.applied {
        let times = times.entry(effect.consumer).or_default();
        *times += 1;
        if *times == 2 {
            let consumer = effect.consumer;
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

/// Whether some group was handed the event more than once, as one copy or as several.
fn reached_a_group_twice(trails: &Trails<'_>, trail: &Trail<'_>) -> bool {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for delivered in &trail.delivered {
        if !trails.is_dead_letters(&delivered.position.topic) {
            *times.entry(delivered.group).or_default() += 1;
        }
    }
    times.values().any(|&times| times > 1)
}

#[cfg(test)]
mod tests {
    use super::EffectOnce;
    use crate::checker::Property;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at, complaint};

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
    fn is_vacuous_if_nothing_arrived_twice() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.applies("e1");
        tale.publishes("e1", "order-1");
        assert_vacuous(&EffectOnce, &tale);
    }
}
