//! Histories that `lag-truth` accepts, and one for each way in which it rejects.

use std::time::Duration;

use serde_json::json;

use super::LagTruth;
use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at};
use crate::checker::{Property, Verdict};
use crate::history::{ExternalOutcome, What};

/// A message may wait for 50 ms, and an alarm may be 20 ms late.
fn property() -> LagTruth {
    LagTruth::new("pager", "ConsumerLag")
        .group("billing", Duration::from_millis(50))
        .within(Duration::from_millis(20))
}

fn rule(tale: &Tale) -> String {
    match property().check(&tale.history) {
        Verdict::Broken(witness) => witness.rule,
        other => panic!("expected a breach, got {other:?}"),
    }
}

/// The pager is told about `billing`.
fn tells(tale: &mut Tale, status: &str) -> u64 {
    let labels = json!({ "alertname": "ConsumerLag", "group": "billing" });
    tale.happens(
        "monitor",
        What::ExternalCalled {
            provider: "pager".into(),
            idempotency_key: status.to_owned(),
            request: json!({ "alerts": [{ "status": status, "labels": labels }] }),
            outcome: ExternalOutcome::Booked,
            answered: true,
        },
    )
}

/// So many milliseconds pass, with something that means nothing each time.
fn waits(tale: &mut Tale, millis: usize) {
    for _ in 0..millis {
        tale.commit("orders", "orders");
    }
}

/// Healed, and so long after two messages came that nobody has settled.
fn behind(tale: &mut Tale, millis: usize) {
    tale.happens("nemesis", What::HealBegan);
    tale.brings("e1", "order-1");
    tale.brings("e2", "order-1");
    waits(tale, millis);
}

fn catches_up(tale: &mut Tale) {
    for id in ["e1", "e2"] {
        tale.acks(id);
    }
}

#[test]
fn accepts_one_alarm_and_one_end_of_it() {
    for mut tale in [Tale::on_kafka(), Tale::on_jetstream(2)] {
        behind(&mut tale, 55);
        tells(&mut tale, "firing");
        waits(&mut tale, 100);
        catches_up(&mut tale);
        tells(&mut tale, "resolved");
        waits(&mut tale, 30);
        assert_holds(&property(), &tale);
    }
}

#[test]
fn one_commit_settles_what_is_ahead_of_it_where_the_broker_says_so() {
    for (mut tale, rule) in [
        (Tale::on_kafka(), None),
        (Tale::on_jetstream(2), Some("missing")),
    ] {
        behind(&mut tale, 10);
        tale.acks("e2");
        waits(&mut tale, 100);
        let verdict = property().check(&tale.history);
        let broken = verdict.witness().map(|witness| &*witness.rule);
        assert_eq!(broken, rule);
    }
}

#[test]
fn accepts_a_short_wait_and_what_is_settled_before_the_alarm_is_due() {
    let mut tale = Tale::on_kafka();
    behind(&mut tale, 60);
    catches_up(&mut tale);
    waits(&mut tale, 100);
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_a_late_alarm_while_faults_last() {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    waits(&mut tale, 200);
    tale.happens("nemesis", What::HealBegan);
    waits(&mut tale, 15);
    tells(&mut tale, "firing");
    waits(&mut tale, 30);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_silence_about_a_group_that_is_behind() {
    let mut tale = Tale::on_kafka();
    behind(&mut tale, 100);
    assert!(broken_at(&property(), &tale).is_some());
    assert_eq!(rule(&tale), "missing");
}

#[test]
fn rejects_an_alarm_about_a_group_that_is_not_behind() {
    let mut tale = Tale::on_kafka();
    behind(&mut tale, 30);
    let wrong = tells(&mut tale, "firing");
    assert_eq!(broken_at(&property(), &tale), Some(wrong));
    assert_eq!(rule(&tale), "false");
}

#[test]
fn rejects_a_second_alarm_and_an_end_before_the_end() {
    let mut tale = Tale::on_kafka();
    behind(&mut tale, 55);
    tells(&mut tale, "firing");
    let again = tells(&mut tale, "firing");
    assert_eq!(broken_at(&property(), &tale), Some(again));
    assert_eq!(rule(&tale), "repeated");
    let mut tale = Tale::on_kafka();
    behind(&mut tale, 55);
    tells(&mut tale, "firing");
    let early = tells(&mut tale, "resolved");
    assert_eq!(broken_at(&property(), &tale), Some(early));
    assert_eq!(rule(&tale), "false");
}

#[test]
fn rejects_an_alarm_that_nobody_takes_back() {
    let mut tale = Tale::on_kafka();
    behind(&mut tale, 55);
    tells(&mut tale, "firing");
    catches_up(&mut tale);
    waits(&mut tale, 30);
    assert!(broken_at(&property(), &tale).is_some());
    assert_eq!(rule(&tale), "not-over");
}

#[test]
fn is_vacuous_where_nobody_is_behind() {
    let mut tale = Tale::on_kafka();
    behind(&mut tale, 10);
    catches_up(&mut tale);
    waits(&mut tale, 100);
    assert_vacuous(&property(), &tale);
}
