//! How often poison is tried.

use super::{given_back, parked_rightly, poison, property};
use crate::attempts::Attempts;
use crate::checker::test_history::{Tale, assert_holds, at, broken_at, complaint};
use crate::history::{ExternalOutcome, SettleOutcome, Settlement, What};

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

/// The broker has handed a poison event out this often, of which two reached the consumer, which parks it then.
fn parked_by_the_brokers_number(attempt: u32) -> Tale {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 1);
    let delivered = What::Delivered {
        group: "billing".into(),
        position: at("orders", 0),
        attempt,
        generation: 0,
    };
    tale.happens("billing", delivered);
    tale.parks("e1");
    tale.acks("e1");
    tale
}

#[test]
fn a_consumer_may_go_by_the_brokers_number_of_deliveries() {
    assert_holds(&property(), &parked_by_the_brokers_number(3));
    assert_eq!(
        complaint(&property(), &parked_by_the_brokers_number(2)),
        "billing parked poison order.changed e1 of order-1 after 2 of 3 attempts"
    );
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

/// A poison event is given back five times while a fault lasts that has an effect at one host.
fn given_back_while_a_fault_lasts(host: &str) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    let text = "partitioned".to_owned();
    tale.happens(host, What::FaultBit { fault: 7, text });
    given_back(&mut tale, "e1", "order-1", 3);
    let fourth = tale.delivers("e1");
    tale.retries("e1");
    tale.happens("nemesis", What::FaultLifted { fault: 7 });
    tale.delivers("e1");
    tale.parks("e1");
    (tale, fourth)
}

#[test]
fn accepts_retries_while_a_lasting_fault_touches_the_host() {
    let (tale, _) = given_back_while_a_fault_lasts("billing");
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_retries_while_a_fault_lasts_that_touches_others() {
    let (tale, fourth) = given_back_while_a_fault_lasts("orders");
    assert_eq!(broken_at(&property(), &tale), Some(fourth));
}

#[test]
fn accepts_retries_while_the_broker_is_down() {
    let mut tale = Tale::on_kafka();
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.crashes("broker");
    tale.retries("e1");
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    assert_holds(&property(), &tale);
}

/// Two poison events come in one batch, and both are given back three times; after that the second
/// one is tried three times on its own. `between` is what the host does in the first batch after it
/// gave the first one back.
fn batch_given_back(between: Option<What>) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    tale.sends("orders", poison("e1", "order-1"));
    tale.sends("orders", poison("e2", "order-2"));
    for _ in 0..2 {
        tale.delivers("e1");
        tale.delivers("e2");
        tale.retries("e1");
        if let Some(what) = &between {
            tale.happens("billing", what.clone());
        }
        tale.retries("e2");
    }
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    tale.delivers("e2");
    tale.retries("e2");
    let fourth = tale.delivers("e2");
    tale.retries("e2");
    tale.delivers("e2");
    tale.parks("e2");
    tale.acks("e2");
    (tale, fourth)
}

#[test]
fn accepts_the_rest_of_a_batch_that_is_given_back_untried() {
    let (tale, _) = batch_given_back(None);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_attempts_too_many_where_the_rest_of_a_batch_was_tried() {
    let why = "by its owner".to_owned();
    let database = "billing".into();
    let (tale, fourth) = batch_given_back(Some(What::RolledBack { database, why }));
    assert_eq!(broken_at(&property(), &tale), Some(fourth));
}

/// The last attempt of one poison event comes in one batch with another one, which is given back when
/// the first is parked and then tried three times on its own. `between` is what the host does between
/// the two.
fn batch_parked(between: Option<What>) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    tale.sends("orders", poison("e2", "order-2"));
    given_back(&mut tale, "e1", "order-1", 2);
    tale.delivers("e1");
    tale.delivers("e2");
    tale.parks("e1");
    tale.acks("e1");
    if let Some(what) = between {
        tale.happens("billing", what);
    }
    tale.retries("e2");
    for _ in 0..2 {
        tale.delivers("e2");
        tale.retries("e2");
    }
    let fourth = tale.delivers("e2");
    tale.parks("e2");
    tale.acks("e2");
    (tale, fourth)
}

#[test]
fn accepts_the_rest_of_a_batch_whose_first_message_is_parked() {
    let (tale, _) = batch_parked(None);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_attempts_too_many_where_the_rest_was_tried_behind_a_parking() {
    let why = "by its owner".to_owned();
    let database = "billing".into();
    let (tale, fourth) = batch_parked(Some(What::RolledBack { database, why }));
    assert_eq!(broken_at(&property(), &tale), Some(fourth));
}

/// Two failed attempts, a restart, and three more.
fn counted_in_memory(attempts: Attempts) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    tale.history.description.attempts = attempts;
    tale.happens("billing", What::HostStarted { incarnation: 1 });
    given_back(&mut tale, "e1", "order-1", 2);
    tale.crashes("billing");
    tale.delivers("e1");
    tale.retries("e1");
    let fourth = tale.delivers("e1");
    tale.retries("e1");
    tale.delivers("e1");
    tale.parks("e1");
    tale.acks("e1");
    (tale, fourth)
}

#[test]
fn accepts_a_count_that_begins_again_with_each_life_where_that_is_promised() {
    let (tale, _) = counted_in_memory(Attempts::AtMostPerLife(3));
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_a_count_that_begins_again_and_says_how_to_promise_it() {
    let (tale, fourth) = counted_in_memory(Attempts::Exactly(3));
    assert_eq!(broken_at(&property(), &tale), Some(fourth));
    let complaint = complaint(&property(), &tale);
    assert!(complaint.ends_with("begin the count again"), "{complaint}");
}

#[test]
fn rejects_more_attempts_in_one_life_than_were_promised() {
    let (mut tale, _) = counted_in_memory(Attempts::AtMostPerLife(3));
    given_back(&mut tale, "e2", "order-2", 3);
    let fourth = tale.delivers("e2");
    tale.parks("e2");
    tale.acks("e2");
    assert_eq!(broken_at(&property(), &tale), Some(fourth));
}

#[test]
fn a_group_may_promise_another_number_of_attempts() {
    let mut tale = Tale::on_kafka();
    let billing = tale.history.description.groups.get_mut("billing");
    billing.expect("it is there").attempts = Some(Attempts::Exactly(1));
    given_back(&mut tale, "e1", "order-1", 1);
    let second = tale.delivers("e1");
    assert_eq!(broken_at(&property(), &tale), Some(second));
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

/// A poison event that lies with its consumer until its lease has run out, is given back then, and is tried four times
/// after that. `meanwhile` is what the host does while it lies there.
fn given_back_behind_its_lease(meanwhile: Option<What>) -> (Tale, u64) {
    let mut tale = Tale::on_kafka();
    tale.sends("orders", poison("e1", "order-1"));
    tale.delivers("e1");
    if let Some(what) = meanwhile {
        tale.happens("billing", what);
    }
    let (group, position) = ("billing".into(), at("orders", 0));
    tale.happens("billing", What::LeaseExpired { group, position });
    tale.retries("e1");
    let mut last = 0;
    for _ in 0..2 {
        tale.delivers("e1");
        last = tale.retries("e1");
    }
    let fourth = tale.delivers("e1");
    assert!(last < fourth);
    tale.parks("e1");
    tale.acks("e1");
    (tale, fourth)
}

#[test]
fn accepts_one_that_is_given_back_untried_when_its_lease_has_run_out() {
    let (tale, _) = given_back_behind_its_lease(None);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_attempts_too_many_where_one_was_tried_until_its_lease_had_run_out() {
    let why = "by its owner".to_owned();
    let database = "billing".into();
    let (tale, fourth) = given_back_behind_its_lease(Some(What::RolledBack { database, why }));
    assert_eq!(broken_at(&property(), &tale), Some(fourth));
}
