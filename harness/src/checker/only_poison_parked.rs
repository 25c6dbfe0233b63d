//! `only-poison-parked`: a healthy event is never parked, whatever else goes wrong.
//!
//! It is a part of `dlq-routing`, for systems and scenarios in which nothing is poisoned: there a
//! consumer that counts outages and crashes as failed attempts parks what it only has to try again.

use super::breach::judge;
use super::dlq_routing::{Scene, healthy};
use super::trail::Trails;
use super::{Property, Verdict};
use crate::history::History;

/// No event is parked with which nothing is wrong, unless another event of its entity was parked before
/// and is neither applied nor discarded.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnlyPoisonParked;

impl Property for OnlyPoisonParked {
    fn id(&self) -> &str {
        "only-poison-parked"
    }

    fn promise(&self) -> &str {
        "no event is parked with which nothing is wrong, however often something else fails"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let scene = Scene::of(&trails, |_| false);
        if let Some(broken) = judge(history, healthy::breaches(&scene)) {
            return broken;
        }
        if healthy::was_tempted(&scene) {
            return Verdict::Holds;
        }
        let reason = "nothing failed while a group that has dead letters had an event in hand";
        Verdict::Vacuous(reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::OnlyPoisonParked;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at};

    #[test]
    fn accepts_what_is_tried_again_until_it_is_done() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.crashes("billing");
        tale.delivers("e1");
        tale.applies("e1");
        tale.acks("e1");
        assert_holds(&OnlyPoisonParked, &tale);
    }

    #[test]
    fn rejects_what_is_parked_after_an_outage() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        for _ in 0..3 {
            tale.fails_a_statement("billing");
            tale.retries("e1");
            tale.delivers("e1");
        }
        let parked = tale.parks("e1");
        tale.acks("e1");
        assert_eq!(broken_at(&OnlyPoisonParked, &tale), Some(parked));
    }

    #[test]
    fn is_vacuous_where_nothing_fails() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.applies("e1");
        tale.acks("e1");
        assert_vacuous(&OnlyPoisonParked, &tale);
    }
}
