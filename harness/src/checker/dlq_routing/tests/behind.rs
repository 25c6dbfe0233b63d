//! Events that are parked because an earlier one of their entity is.

use super::{given_back, parked_rightly, poison, property};
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

fn refused_as_dead_letter(event_id: &str) -> What {
    What::PublishRejected {
        topic: "billing.dead".to_owned(),
        event_id: Some(event_id.to_owned()),
        reason: "capacity limit reached".to_owned(),
    }
}

/// `successor` could not be parked behind `e1`, of the same entity or of another, which is taken up again before it is parked.
fn parked_late_behind(entity: &str) -> (Tale, u64) {
    let mut tale = parked_rightly();
    tale.brings("successor", entity);
    tale.happens("billing", refused_as_dead_letter("successor"));
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

/// `e1` is poison; after its last attempt the broker refuses to take it for the dead letters, if `is_tried`, and takes it only
/// after `successor` of another entity or the same.
fn parked_ahead_of(entity: &str, is_tried: bool) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    if is_tried {
        tale.happens("billing", refused_as_dead_letter("e1"));
    }
    tale.retries("e1");
    tale.brings("successor", entity);
    let parked = tale.parks("successor");
    tale.acks("successor");
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    (tale, parked)
}

/// As it was recorded: the consumer keeps what it parks in a table, too, and published the later event first.
#[test]
fn accepts_parking_behind_what_the_broker_does_not_take_yet() {
    let (tale, _) = parked_ahead_of("order-1", true);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_parking_ahead_of_what_is_poison() {
    for (entity, is_tried) in [("order-2", true), ("order-1", false)] {
        let (tale, parked) = parked_ahead_of(entity, is_tried);
        assert_eq!(broken_at(&property(), &tale), Some(parked));
    }
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
