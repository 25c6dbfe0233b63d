//! Histories that `dlq-routing` accepts, and one for each way in which it is broken.

use super::DlqRouting;
use crate::checker::Property;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, at, broken_at, complaint, order_event,
};
use crate::history::{Announcement, ExternalOutcome, SettleOutcome, Settlement, What};
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
fn accepts_the_agreed_number_of_attempts() {
    assert_holds(&property(), &parked_rightly());
}

#[test]
fn accepts_deliveries_that_were_interrupted() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 1);
    tale.delivers("e1");
    tale.crashes("billing");
    tale.delivers("e1");
    tale.settles(at("orders", 0), Settlement::Retry, SettleOutcome::Fenced);
    tale.delivers("e1");
    tale.retries("e1");
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_retries_that_something_else_explains() {
    let unavailable = What::ExternalCalled {
        provider: "bank".into(),
        idempotency_key: "e1".to_owned(),
        request: serde_json::Value::Null,
        outcome: ExternalOutcome::Unavailable,
        answered: true,
    };
    let refused = What::PublishRejected {
        topic: "billing.dead".to_owned(),
        event_id: Some("e1".to_owned()),
        reason: "capacity limit reached".to_owned(),
    };
    let troubles = [
        unavailable,
        refused,
        What::FaultBit {
            fault: 0,
            text: "slow".to_owned(),
        },
    ];
    for trouble in troubles {
        let mut tale = Tale::on_kafka();
        given_back(&mut tale, "e1", "order-1", 2);
        tale.delivers("e1");
        tale.happens("billing", trouble);
        tale.retries("e1");
        tale.delivers("e1");
        tale.parks("e1");
        tale.acks("e1");
        assert_holds(&property(), &tale);
    }
}

/// A poison event whose park was refused in the third attempt, and that was given back again in a
/// fourth without an attempt to publish it; `between` is what happened between the two.
fn given_back_after_a_refusal(between: Option<What>) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    let refused = What::PublishRejected {
        topic: "billing.dead".to_owned(),
        event_id: Some("e1".to_owned()),
        reason: "capacity limit reached".to_owned(),
    };
    tale.happens("billing", refused);
    tale.retries("e1");
    if let Some(what) = between {
        tale.happens("billing", what);
    }
    tale.delivers("e1");
    tale.retries("e1");
    let fifth = tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    (tale, fifth)
}

#[test]
fn accepts_retries_until_a_publication_is_acknowledged_again() {
    let (tale, _) = given_back_after_a_refusal(None);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_retries_after_a_publication_was_acknowledged_again() {
    let acknowledged = What::PublishAcknowledged {
        position: at("billing.dead", 0),
        event_id: Some("e0".to_owned()),
    };
    let (tale, fifth) = given_back_after_a_refusal(Some(acknowledged));
    assert_eq!(broken_at(&property(), &tale), Some(fifth));
}

#[test]
fn accepts_retries_while_a_lasting_fault_is_active() {
    let mut tale = Tale::on_kafka();
    tale.happens(
        "orders",
        What::FaultBit {
            fault: 7,
            text: "partitioned".to_owned(),
        },
    );
    given_back(&mut tale, "e1", "order-1", 4);
    tale.happens("nemesis", What::FaultLifted { fault: 7 });
    tale.delivers("e1");
    tale.parks("e1");
    assert_holds(&property(), &tale);
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
        tale.history.description.attempts_max = 1;
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

#[test]
fn accepts_parking_through_an_outbox() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.announces(
        "billing",
        Announcement {
            event_id: "e1".to_owned(),
            entity: "order-1".to_owned(),
            topic: "billing.dead".to_owned(),
            event_type: "order.changed".to_owned(),
            correlation_id: String::new(),
            cause_id: String::new(),
        },
    );
    tale.acks("e1");
    tale.parks("e1");
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_a_park_before_the_last_attempt() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 1);
    tale.delivers("e1");
    let parked = tale.parks("e1");
    tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(parked));
    assert_eq!(
        complaint(&property(), &tale),
        "billing parked poison order.changed e1 of order-1 after 2 of 3 attempts"
    );
}

#[test]
fn rejects_one_attempt_too_many() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 3);
    let too_many = tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    assert_eq!(broken_at(&property(), &tale), Some(too_many));
}

#[test]
fn a_rollback_or_a_neighbours_trouble_excuses_no_retry() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    let why = "dropped without commit".to_owned();
    tale.happens(
        "billing",
        What::RolledBack {
            database: "billing".into(),
            why,
        },
    );
    tale.fails_a_statement("orders");
    tale.retries("e1");
    let too_many = tale.delivers("e1");
    assert_eq!(broken_at(&property(), &tale), Some(too_many));
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
fn is_vacuous_if_nothing_was_retried_or_parked() {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    tale.applies("e1");
    tale.acks("e1");
    assert_vacuous(&property(), &tale);
    tale.brings("e2", "order-2");
    tale.retries("e2");
    assert_holds(&property(), &tale);
}
