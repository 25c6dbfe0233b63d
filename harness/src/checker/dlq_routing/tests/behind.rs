//! Events that are parked because an earlier one of their entity is.

use super::{parked_rightly, poison, property};
use crate::checker::test_history::{Tale, assert_holds, broken_at};
use crate::history::What;

#[test]
fn accepts_parking_what_follows_a_parked_event_of_its_entity() {
    let mut tale = parked_rightly();
    tale.brings("successor", "order-1");
    tale.parks("successor");
    tale.acks("successor");
    tale.commits("poison-too", "order-1");
    tale.sends("orders", poison("poison-too", "order-1"));
    tale.delivers("poison-too");
    tale.parks("poison-too");
    tale.acks("poison-too");
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_parking_what_was_in_hand_when_the_parked_event_was_replayed() {
    let mut tale = parked_rightly();
    tale.brings("successor", "order-1");
    tale.publishes("e1", "order-1");
    tale.delivers("e1");
    tale.applies("e1");
    tale.parks("successor");
    tale.acks("successor");
    assert_holds(&property(), &tale);
}

/// `successor` could not be parked behind `e1`, of the same entity or of another, which is taken up again before it is parked.
fn parked_late_behind(entity: &str) -> (Tale, u64) {
    let mut tale = parked_rightly();
    tale.brings("successor", entity);
    let rejected = What::PublishRejected {
        topic: "billing.dead".to_owned(),
        event_id: Some("successor".to_owned()),
        reason: "capacity limit reached".to_owned(),
    };
    tale.happens("billing", rejected);
    tale.retries("successor");
    tale.publishes("e1", "order-1");
    tale.delivers("e1");
    tale.applies("e1");
    tale.acks("e1");
    tale.delivers("successor");
    let parked = tale.parks("successor");
    tale.acks("successor");
    (tale, parked)
}

#[test]
fn accepts_that_parking_ends_which_began_behind_a_parked_event() {
    let (tale, _) = parked_late_behind("order-1");
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_that_parking_ends_which_began_behind_nothing() {
    let (tale, parked) = parked_late_behind("order-2");
    assert_eq!(broken_at(&property(), &tale), Some(parked));
}

#[test]
fn rejects_parking_behind_an_event_that_is_parked_no_more() {
    for end in [Tale::applies, Tale::discards] {
        let mut tale = parked_rightly();
        tale.publishes("e1", "order-1");
        tale.delivers("e1");
        end(&mut tale, "e1");
        tale.acks("e1");
        tale.brings("successor", "order-1");
        tale.fails_a_statement("billing");
        let parked = tale.parks("successor");
        tale.acks("successor");
        assert_eq!(broken_at(&property(), &tale), Some(parked));
    }
}
