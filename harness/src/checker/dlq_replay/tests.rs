//! Histories that `dlq-replay` accepts, and one for each way in which it rejects.

use super::DlqReplay;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, at, broken_at, complaint, order_event,
};
use crate::history::What;
use crate::message::POISON;

/// `e1` and, behind it, `e2` of one order are parked.
fn two_parked() -> Tale {
    let mut tale = Tale::on_kafka();
    for id in ["e1", "e2"] {
        tale.brings(id, "order-1");
        tale.parks(id);
        tale.acks(id);
    }
    tale
}

fn replays(tale: &mut Tale, id: &str) -> u64 {
    let replay = order_event(id, "order-1").header("replay", "1");
    tale.sends("orders", replay);
    tale.delivers(id)
}

fn rule(tale: &Tale) -> String {
    use crate::checker::{Property, Verdict};
    match DlqReplay::default().check(&tale.history) {
        Verdict::Broken(witness) => witness.rule,
        other => panic!("expected a breach, got {other:?}"),
    }
}

#[test]
fn accepts_what_is_applied_once_and_in_turn() {
    let mut tale = two_parked();
    for id in ["e1", "e2"] {
        replays(&mut tale, id);
        tale.applies(id);
        tale.acks(id);
    }
    assert_holds(&DlqReplay::default(), &tale);
}

#[test]
fn accepts_a_second_replay_that_is_known() {
    let mut tale = two_parked();
    replays(&mut tale, "e1");
    tale.applies("e1");
    tale.acks("e1");
    replays(&mut tale, "e1");
    tale.acks("e1");
    assert_holds(&DlqReplay::default(), &tale);
}

#[test]
fn accepts_what_is_discarded_and_what_stays_behind_another() {
    let mut tale = two_parked();
    replays(&mut tale, "e2");
    tale.acks("e2");
    replays(&mut tale, "e1");
    tale.discards("e1");
    tale.acks("e1");
    assert_holds(&DlqReplay::default(), &tale);
}

#[test]
fn accepts_a_copy_that_is_poison_again() {
    let mut tale = two_parked();
    let mut replay = order_event("e1", "order-1").header("replay", "1");
    replay.payload = POISON.to_vec();
    tale.sends("orders", replay);
    tale.delivers("e1");
    tale.acks("e1");
    assert_holds(&DlqReplay::default(), &tale);
}

#[test]
fn rejects_a_second_effect() {
    let mut tale = two_parked();
    replays(&mut tale, "e1");
    tale.applies("e1");
    tale.acks("e1");
    replays(&mut tale, "e1");
    let twice = tale.applies("e1");
    assert_eq!(broken_at(&DlqReplay::default(), &tale), Some(twice));
    assert_eq!(rule(&tale), "applied-again");
}

#[test]
fn rejects_an_effect_ahead_of_what_is_still_parked() {
    let mut tale = two_parked();
    replays(&mut tale, "e2");
    let overtaken = tale.applies("e2");
    assert_eq!(broken_at(&DlqReplay::default(), &tale), Some(overtaken));
    assert_eq!(rule(&tale), "overtakes");
}

#[test]
fn rejects_a_replay_without_effect() {
    let mut tale = two_parked();
    replays(&mut tale, "e1");
    let settled = tale.acks("e1");
    assert_eq!(broken_at(&DlqReplay::default(), &tale), Some(settled));
    assert_eq!(rule(&tale), "ignored");
}

/// `e1` was acknowledged to its producer and parked, and is sent again under its own id.
fn recognised(is_troubled: bool) -> (Tale, u64) {
    let mut tale = Tale::on_jetstream(1);
    tale.commits("e1", "order-1");
    tale.publishes("e1", "order-1");
    let event_id = Some("e1".to_owned());
    let position = at("orders", 0);
    tale.happens(
        "orders",
        What::PublishAcknowledged {
            position: position.clone(),
            event_id: event_id.clone(),
        },
    );
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    if is_troubled {
        tale.crashes("orders");
    }
    let dropped = tale.happens("orders", What::PublishDeduplicated { position, event_id });
    (tale, dropped)
}

#[test]
fn rejects_a_replay_that_the_broker_takes_for_the_first_copy() {
    let (tale, dropped) = recognised(false);
    assert_eq!(broken_at(&DlqReplay::default(), &tale), Some(dropped));
    let told = complaint(&DlqReplay::default(), &tale);
    assert!(told.starts_with("the broker dropped the replay"), "{told}");
}

#[test]
fn is_vacuous_where_a_producer_repeats_itself_or_nothing_is_replayed() {
    assert_vacuous(&DlqReplay::default(), &recognised(true).0);
    assert_vacuous(&DlqReplay::default(), &two_parked());
}
