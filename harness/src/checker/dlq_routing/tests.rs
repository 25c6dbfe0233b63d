//! Histories that `dlq-routing` accepts, and one for each way in which it is broken.

mod attempts;
mod behind;
mod copies;

use super::DlqRouting;
use crate::attempts::Attempts;
use crate::checker::Property;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, at, broken_at, complaint, flow, order_event,
};
use crate::history::{Announcement, SettleOutcome, Settlement, What};
use crate::message::{EVENT_ID, Message, POISON};

fn property() -> DlqRouting {
    DlqRouting::default()
}

fn poison(id: &str, entity: &str) -> Message {
    Message {
        payload: POISON.to_vec(),
        ..order_event(id, entity)
    }
}

/// A poison event was published and `billing` gave it back so many times.
fn given_back(tale: &mut Tale, id: &str, entity: &str, times: usize) {
    tale.commits(id, entity);
    tale.sends("orders", poison(id, entity));
    for _ in 0..times {
        tale.delivers(id);
        tale.retries(id);
    }
}

/// The whole way of a poison event: three attempts, parked, acknowledged.
fn parked_rightly() -> Tale {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    tale
}

#[test]
fn accepts_a_second_park_after_an_interruption_or_an_unknown_publish() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.parks("e1");
    tale.crashes("billing");
    tale.delivers("e1");
    tale.parks("e1");
    let unknown = What::PublishUnknown {
        topic: "billing.dead".to_owned(),
        event_id: Some("e1".to_owned()),
    };
    tale.happens("billing", unknown);
    tale.parks("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_a_second_park_after_a_crash_that_was_recorded_before_the_first() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.happens("billing", What::HostCrashed);
    tale.parks("e1");
    tale.happens("billing", What::HostStarted { incarnation: 2 });
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

/// `billing` has poison in hand for the third time when `billing-2` is handed it as well, and both park it,
/// `billing` so often.
fn parked_by_two(rebalances: bool, times: usize) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    if rebalances {
        tale.rebalances();
    }
    let (group, position) = ("billing".into(), at("orders", 0));
    let other = What::Delivered {
        group,
        position: position.clone(),
        attempt: 4,
        generation: 2,
    };
    tale.happens("billing-2", other);
    for _ in 0..times {
        tale.parks("e1");
    }
    tale.settles(position.clone(), Settlement::Ack, SettleOutcome::Fenced);
    let message = order_event("e1", "order-1").header("error", "cannot be decoded");
    let message = Message {
        topic: "billing.dead".to_owned(),
        payload: POISON.to_vec(),
        ..message
    };
    let last = tale.sends("billing-2", message);
    let settled = What::Settled {
        group: "billing".into(),
        position,
        settlement: Settlement::Ack,
        outcome: SettleOutcome::Accepted,
        generation: 2,
    };
    tale.happens("billing-2", settled);
    (tale, last)
}

#[test]
fn accepts_a_park_by_who_has_lost_the_poison_to_another_and_does_not_know() {
    let (tale, _) = parked_by_two(true, 1);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_two_parks_by_who_has_lost_the_poison_and_one_without_a_loss() {
    for (rebalances, times) in [(true, 2), (false, 1)] {
        let (tale, last) = parked_by_two(rebalances, times);
        assert_eq!(broken_at(&property(), &tale), Some(last), "{rebalances}");
    }
}

#[test]
fn rejects_a_second_park_where_nothing_befell_the_host() {
    // Neither an acknowledgement that was forgotten nor a service that ends by itself is an excuse.
    for ends in [false, true] {
        let mut tale = Tale::on_kafka();
        given_back(&mut tale, "e1", "order-1", 2);
        tale.delivers("e1");
        tale.parks("e1");
        if ends {
            tale.happens("billing", What::HostExited { error: None });
            tale.crashes("billing");
        }
        tale.delivers("e1");
        let again = tale.parks("e1");
        tale.acks("e1");
        assert_eq!(broken_at(&property(), &tale), Some(again), "{ends}");
    }
}

#[test]
fn accepts_a_park_for_each_time_that_an_operator_replayed_it() {
    let mut tale = parked_rightly();
    tale.sends("operator", poison("e1", "order-1"));
    given_back_again(&mut tale, 2);
    tale.parks("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

/// `billing` gives the last copy of the event back so many times, and is handed it once more.
fn given_back_again(tale: &mut Tale, times: usize) {
    for _ in 0..times {
        tale.delivers("e1");
        tale.retries("e1");
    }
    tale.delivers("e1");
}

/// A poison event that goes through a table: committed, acknowledged, parked by a relay.
fn parked_through_a_table() -> Tale {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.commit("billing", "billing");
    tale.acks("e1");
    tale
}

fn relay_parks(tale: &mut Tale) -> u64 {
    let mut message = poison("e1", "order-1").header("error", "cannot be decoded");
    message.topic = "billing.dead".to_owned();
    tale.sends("relay", message)
}

#[test]
fn accepts_parking_through_a_table_that_no_probe_shows() {
    let mut tale = parked_through_a_table();
    relay_parks(&mut tale);
    let (topic, event_id) = ("billing.dead".to_owned(), Some("e1".to_owned()));
    tale.happens("relay", What::PublishUnknown { topic, event_id });
    relay_parks(&mut tale);
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_parking_through_a_table_before_an_interruption() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.commit("billing", "billing");
    tale.crashes("billing");
    tale.delivers("e1");
    tale.acks("e1");
    relay_parks(&mut tale);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_an_acknowledgement_after_handings_back_alone() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 1);
    tale.delivers("e1");
    tale.commit("billing", "billing");
    tale.retries("e1");
    tale.delivers("e1");
    let dropped = tale.acks("e1");
    relay_parks(&mut tale);
    assert_eq!(broken_at(&property(), &tale), Some(dropped));
}

#[test]
fn rejects_a_table_that_nobody_publishes_and_says_how_to_show_it() {
    let tale = parked_through_a_table();
    let complaint = complaint(&property(), &tale);
    assert!(complaint.contains("let a Probe::announced show its rows with billing.dead"));
}

#[test]
fn rejects_a_relay_that_parks_again_for_no_reason() {
    let mut tale = parked_through_a_table();
    relay_parks(&mut tale);
    let again = relay_parks(&mut tale);
    assert_eq!(broken_at(&property(), &tale), Some(again));
}

/// Two copies of a poison event come in one batch, and each is parked.
fn two_copies_in_one_batch(tale: &mut Tale) {
    tale.delivers_at(at("orders", 0));
    tale.delivers_at(at("orders", 1));
    for offset in 0..2 {
        tale.parks("e1");
        let position = at("orders", offset);
        tale.settles(position, Settlement::Ack, SettleOutcome::Accepted);
    }
}

#[test]
fn accepts_a_park_for_each_copy_of_one_batch() {
    for interrupted in [false, true] {
        let mut tale = Tale::on_kafka();
        tale.history.description.attempts = Attempts::Exactly(1);
        tale.commits("e1", "order-1");
        tale.sends("orders", poison("e1", "order-1"));
        tale.sends("orders", poison("e1", "order-1"));
        if interrupted {
            tale.delivers_at(at("orders", 0));
            tale.fails_a_statement("billing");
            tale.crashes("billing");
        }
        two_copies_in_one_batch(&mut tale);
        assert_holds(&property(), &tale);
    }
}

#[test]
fn accepts_a_poisoned_copy_of_an_event_that_was_applied() {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    tale.applies("e1");
    tale.acks("e1");
    tale.sends("orders", poison("e1", "order-1"));
    tale.delivers("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_a_healthy_copy_of_an_event_that_was_parked() {
    let mut tale = parked_rightly();
    tale.publishes("e1", "order-1");
    tale.delivers("e1");
    tale.applies("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

/// A healthy copy is applied; the next one is poison, and given back so many times before it is parked.
fn poison_after_an_effect(times: usize) -> Tale {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    tale.applies("e1");
    tale.acks("e1");
    given_back(&mut tale, "e1", "order-1", times);
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    tale
}

#[test]
fn what_was_committed_for_another_copy_parks_nothing() {
    assert_holds(&property(), &poison_after_an_effect(2));
    let early = poison_after_an_effect(0);
    assert_eq!(
        complaint(&property(), &early),
        "billing parked poison order.changed e1 of order-1 after 2 of 3 attempts"
    );
}

#[test]
fn a_copy_that_was_fetched_ahead_is_not_the_parked_one() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    let poison = at("orders", 0);
    tale.delivers_at(poison.clone());
    tale.publishes("e1", "order-1");
    tale.delivers("e1");
    tale.parks_as("e1", |message| Message {
        payload: POISON.to_vec(),
        ..message.header("error", "cannot be decoded")
    });
    tale.settles(poison, Settlement::Ack, SettleOutcome::Accepted);
    tale.applies("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn a_copy_that_was_fetched_ahead_is_not_the_applied_one() {
    let mut tale = Tale::on_kafka();
    tale.commits("e1", "order-1");
    tale.publishes("e1", "order-1");
    tale.sends("orders", poison("e1", "order-1"));
    tale.delivers_at(at("orders", 0));
    tale.delivers_at(at("orders", 1));
    tale.applies("e1");
    tale.settles(at("orders", 0), Settlement::Ack, SettleOutcome::Accepted);
    for _ in 0..2 {
        tale.retries("e1");
        tale.delivers("e1");
    }
    tale.parks("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_parking_through_an_outbox() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.announces(
        "billing",
        Announcement {
            topic: "billing.dead".to_owned(),
            ..flow("e1", "order-1", "", "")
        },
    );
    tale.acks("e1");
    tale.parks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_poison_that_is_acknowledged_and_gone() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    let dropped = tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(dropped));
    let verdict = property().check(&tale.history);
    assert_eq!(
        verdict
            .witness()
            .and_then(|witness| witness.inevitable_from),
        Some(dropped)
    );
}

#[test]
fn rejects_an_acknowledgement_before_the_park() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    let early = tale.acks("e1");
    tale.parks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(early));
}

#[test]
fn rejects_a_cumulative_commit_past_poison_in_hand() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 1);
    tale.delivers("e1");
    tale.brings("e2", "order-2");
    tale.applies("e2");
    let past = tale.acks("e2");
    assert_eq!(broken_at(&property(), &tale), Some(past));
}

#[test]
fn rejects_a_second_park_without_interruption() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.parks("e1");
    let again = tale.parks("e1");
    tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(again));
}

#[test]
fn rejects_parking_and_giving_back() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.parks("e1");
    tale.retries("e1");
    tale.delivers("e1");
    let again = tale.parks("e1");
    tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(again));
}

#[test]
fn rejects_a_healthy_event_parked_for_a_passing_fault() {
    let mut tale = parked_rightly();
    tale.brings("healthy", "order-2");
    tale.fails_a_statement("billing");
    let parked = tale.parks("healthy");
    tale.acks("healthy");
    assert_eq!(broken_at(&property(), &tale), Some(parked));
}

#[test]
fn rejects_parked_and_applied() {
    let mut tale = parked_rightly();
    let applied = tale.applies("e1");
    assert_eq!(broken_at(&property(), &tale), Some(applied));
}

/// What is done to a message before it is parked.
type Change = fn(Message) -> Message;

/// The complaint about a poison event that was parked in this form.
fn complaint_about_park(change: Change) -> String {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    let parked = tale.parks_as("e1", change);
    tale.acks("e1");
    let complaint = complaint(&property(), &tale);
    if !complaint.contains("acknowledged") {
        assert_eq!(broken_at(&property(), &tale), Some(parked));
    }
    complaint
}

#[test]
fn accepts_the_headers_in_which_others_tell_the_error() {
    for header in [
        "kafka_dlt-exception-message",
        "x-first-death-reason",
        "__connect.errors.exception.message",
        "Failure",
    ] {
        let mut tale = Tale::on_kafka();
        given_back(&mut tale, "e1", "order-1", 2);
        tale.delivers("e1");
        tale.parks_as("e1", |message| message.header(header, "cannot decode"));
        tale.acks("e1");
        assert_holds(&property(), &tale);
    }
}

#[test]
fn accepts_that_a_message_has_the_subject_for_a_key_that_it_is_parked_under() {
    let mut tale = Tale::on_kafka();
    let original = Message {
        key: "orders".to_owned(),
        ..poison("e1", "order-1")
    };
    tale.sends("orders", original);
    for _ in 0..2 {
        tale.delivers("e1");
        tale.retries("e1");
    }
    tale.delivers("e1");
    tale.parks_as("e1", |message| Message {
        key: "billing.dead".to_owned(),
        ..message.header("error", "x")
    });
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_a_parked_message_that_differs_from_its_original() {
    let cases: [(Change, &str); 5] = [
        (
            |message| Message {
                key: "other".to_owned(),
                ..message.header("error", "x")
            },
            "under the key other instead of order-1",
        ),
        (
            |message| Message {
                payload: b"{}".to_vec(),
                ..message.header("error", "x")
            },
            "with another payload",
        ),
        (
            |mut message| {
                message.headers.remove("event-type");
                message.header("error", "x")
            },
            "without its original header event-type",
        ),
        (|message| message, "without a header that tells the error"),
        (
            |message| message.header("dlt-original-topic", "orders"),
            "without a header that tells the error",
        ),
    ];
    for (change, flaw) in cases {
        let complaint = complaint_about_park(change);
        assert!(complaint.ends_with(flaw), "{complaint}");
    }
}

#[test]
fn rejects_a_parked_message_under_another_id_or_none() {
    let renamed =
        complaint_about_park(|message| message.header("error", "x").header(EVENT_ID, "new"));
    assert!(
        renamed.ends_with("under an event id that nobody published before"),
        "{renamed}"
    );
    let nameless = complaint_about_park(|mut message| {
        message.headers.remove(EVENT_ID);
        message.header("error", "x")
    });
    assert!(nameless.ends_with("without its event id"), "{nameless}");
}

#[test]
fn events_can_be_declared_poison() {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    let dropped = tale.acks("e1");
    let declared = DlqRouting::poison_if(|message| message.key == "order-1");
    assert_eq!(broken_at(&declared, &tale), Some(dropped));
    tale.applies("e1");
    assert_holds(&declared, &tale);
}

#[test]
fn is_vacuous_if_nothing_was_poisoned() {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    tale.retries("e1");
    tale.delivers("e1");
    tale.applies("e1");
    tale.acks("e1");
    assert_vacuous(&property(), &tale);
}
