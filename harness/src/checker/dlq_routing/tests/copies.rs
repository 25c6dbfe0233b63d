//! Which copy is meant: of what was fetched together, and of what one group alone cannot decode.

use super::{parked_rightly, property};
use crate::checker::OnlyPoisonParked;
use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, at, broken_at};
use crate::history::{SettleOutcome, Settlement, What};
use crate::message::{Message, POISON};

/// `billing` has parked an event, and is handed two copies of the next of its entity at once, of which it
/// parks the first behind the other.
fn parked_behind_before_its_replay() -> Tale {
    let mut tale = parked_rightly();
    tale.commits("e2", "order-1");
    tale.publishes("e2", "order-1");
    tale.publishes("e2", "order-1");
    tale.delivers_at(at("orders", 1));
    tale.delivers_at(at("orders", 2));
    tale.parks("e2");
    tale
}

#[test]
fn accepts_an_effect_of_the_copy_after_the_one_that_is_parked_behind() {
    let mut tale = parked_behind_before_its_replay();
    tale.settles(at("orders", 1), Settlement::Ack, SettleOutcome::Accepted);
    tale.applies("e2");
    tale.settles(at("orders", 2), Settlement::Ack, SettleOutcome::Accepted);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_an_effect_of_the_copy_that_is_parked_behind() {
    let mut tale = parked_behind_before_its_replay();
    let applied = tale.applies("e2");
    tale.settles(at("orders", 1), Settlement::Ack, SettleOutcome::Accepted);
    tale.settles(at("orders", 2), Settlement::Ack, SettleOutcome::Accepted);
    assert_eq!(broken_at(&property(), &tale), Some(applied));
}

/// An event that one group alone cannot decode reaches `billing`, which tries it three times.
fn made_poison_for(group: &str) -> Tale {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    let (group, position) = (group.into(), at("orders", 0));
    tale.happens("billing", What::MadePoison { group, position });
    for _ in 0..2 {
        tale.retries("e1");
        tale.delivers("e1");
    }
    tale
}

/// `billing` parks what it was handed.
fn parks_undecodable(tale: &mut Tale) -> u64 {
    tale.parks_as("e1", |message| Message {
        payload: POISON.to_vec(),
        ..message.header("error", "cannot be decoded")
    })
}

/// `billing` applies one copy, and cannot decode the second, which it tries so often.
fn second_copy_made_poison(attempts: usize) -> Tale {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    tale.commit("billing", "billing");
    tale.applies("e1");
    tale.acks("e1");
    tale.publishes("e1", "order-1");
    tale.delivers("e1");
    let (group, position) = ("billing".into(), at("orders", 1));
    tale.happens("billing", What::MadePoison { group, position });
    for _ in 1..attempts {
        tale.retries("e1");
        tale.delivers("e1");
    }
    tale
}

#[test]
fn accepts_a_copy_that_was_applied_before_another_one_is_parked() {
    let mut tale = second_copy_made_poison(3);
    parks_undecodable(&mut tale);
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_a_second_copy_that_is_parked_too_soon() {
    let mut tale = second_copy_made_poison(1);
    let parked = parks_undecodable(&mut tale);
    tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(parked));
}

#[test]
fn accepts_what_is_poison_for_the_group_that_parks_it() {
    let mut tale = made_poison_for("billing");
    parks_undecodable(&mut tale);
    tale.acks("e1");
    assert_holds(&property(), &tale);
    assert_vacuous(&OnlyPoisonParked, &tale);
}

#[test]
fn rejects_what_is_poison_for_a_group_that_drops_it() {
    let mut tale = made_poison_for("billing");
    let dropped = tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(dropped));
}

#[test]
fn rejects_a_park_of_what_is_poison_for_another_group_alone() {
    let mut tale = made_poison_for("shipping");
    let parked = tale.parks("e1");
    tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(parked));
    assert_eq!(broken_at(&OnlyPoisonParked, &tale), Some(parked));
}
