//! Histories that `dlq-alert-truth` accepts, and one for each way in which it rejects.

use std::time::Duration;

use serde_json::json;

use super::{DepthThreshold, DlqAlertTruth};
use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at};
use crate::checker::{Property, Verdict};
use crate::history::{ExternalOutcome, What};

/// Two events are too many within 100 ms, and three altogether; an alarm may be 20 ms late.
fn property() -> DlqAlertTruth {
    let threshold = DepthThreshold {
        parked: 3,
        lately: 2,
        window: Duration::from_millis(100),
    };
    DlqAlertTruth::new("pager", "ParkedEvents")
        .group("billing", threshold)
        .within(Duration::from_millis(20))
}

fn rule(tale: &Tale) -> String {
    match property().check(&tale.history) {
        Verdict::Broken(witness) => witness.rule,
        other => panic!("expected a breach, got {other:?}"),
    }
}

/// The pager gets a call about `billing`.
fn called(tale: &mut Tale, status: &str, outcome: ExternalOutcome) -> u64 {
    let labels = json!({ "alertname": "ParkedEvents", "group": "billing" });
    tale.happens(
        "monitor",
        What::ExternalCalled {
            provider: "pager".into(),
            idempotency_key: status.to_owned(),
            request: json!({ "alerts": [{ "status": status, "labels": labels }] }),
            outcome,
            answered: true,
        },
    )
}

fn tells(tale: &mut Tale, status: &str) -> u64 {
    called(tale, status, ExternalOutcome::Booked)
}

fn parks(tale: &mut Tale, ids: &[&str]) {
    for id in ids {
        tale.brings(id, "order-1");
        tale.parks(id);
        tale.acks(id);
    }
}

/// So many milliseconds pass, with something that means nothing each time.
fn waits(tale: &mut Tale, millis: usize) -> u64 {
    let mut last = 0;
    for _ in 0..millis {
        last = tale.commit("orders", "orders");
    }
    last
}

#[test]
fn accepts_one_alarm_and_one_end_of_it() {
    let mut tale = Tale::on_kafka();
    tale.happens("nemesis", What::HealBegan);
    parks(&mut tale, &["e1", "e2"]);
    tells(&mut tale, "firing");
    parks(&mut tale, &["e3", "e4"]);
    called(&mut tale, "firing", ExternalOutcome::Repeated);
    waits(&mut tale, 30);
    for id in ["e1", "e2", "e3", "e4"] {
        tale.applies(id);
    }
    tells(&mut tale, "resolved");
    waits(&mut tale, 30);
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_silence_about_a_few() {
    let mut tale = Tale::on_kafka();
    tale.happens("nemesis", What::HealBegan);
    parks(&mut tale, &["e1"]);
    waits(&mut tale, 101);
    parks(&mut tale, &["e2"]);
    waits(&mut tale, 30);
    assert_holds(&property(), &tale);
}

#[test]
fn accepts_a_late_alarm_about_what_was_so_and_an_end_in_between() {
    let mut tale = Tale::on_kafka();
    parks(&mut tale, &["e1", "e2"]);
    waits(&mut tale, 150);
    tells(&mut tale, "firing");
    tells(&mut tale, "resolved");
    tale.happens("nemesis", What::HealBegan);
    waits(&mut tale, 30);
    assert_holds(&property(), &tale);
}

#[test]
fn waits_for_the_end_of_the_faults() {
    let mut tale = Tale::on_kafka();
    parks(&mut tale, &["e1", "e2", "e3"]);
    waits(&mut tale, 30);
    tale.happens("nemesis", What::HealBegan);
    waits(&mut tale, 18);
    tells(&mut tale, "firing");
    waits(&mut tale, 30);
    assert_holds(&property(), &tale);
}

#[test]
fn rejects_silence_about_a_flood() {
    let mut tale = Tale::on_kafka();
    tale.happens("nemesis", What::HealBegan);
    parks(&mut tale, &["e1", "e2"]);
    let last = waits(&mut tale, 30);
    let broken = broken_at(&property(), &tale).expect("broken");
    assert!(broken < last);
    assert_eq!(rule(&tale), "missing");
}

#[test]
fn rejects_an_alarm_for_each_message() {
    let mut tale = Tale::on_kafka();
    parks(&mut tale, &["e1", "e2"]);
    tells(&mut tale, "firing");
    parks(&mut tale, &["e3"]);
    let again = tells(&mut tale, "firing");
    assert_eq!(broken_at(&property(), &tale), Some(again));
    assert_eq!(rule(&tale), "repeated");
}

#[test]
fn rejects_an_alarm_about_a_few() {
    let mut tale = Tale::on_kafka();
    parks(&mut tale, &["e1"]);
    let wrong = tells(&mut tale, "firing");
    assert_eq!(broken_at(&property(), &tale), Some(wrong));
    assert_eq!(rule(&tale), "false");
}

#[test]
fn rejects_an_end_while_it_goes_on_and_one_without_a_beginning() {
    let mut tale = Tale::on_kafka();
    parks(&mut tale, &["e1", "e2"]);
    tells(&mut tale, "firing");
    let wrong = tells(&mut tale, "resolved");
    assert_eq!(broken_at(&property(), &tale), Some(wrong));
    assert_eq!(rule(&tale), "false");
    let mut tale = Tale::on_kafka();
    parks(&mut tale, &["e1"]);
    let wrong = tells(&mut tale, "resolved");
    assert_eq!(broken_at(&property(), &tale), Some(wrong));
}

#[test]
fn rejects_an_alarm_that_nobody_takes_back() {
    let mut tale = Tale::on_kafka();
    tale.happens("nemesis", What::HealBegan);
    parks(&mut tale, &["e1", "e2"]);
    tells(&mut tale, "firing");
    for id in ["e1", "e2"] {
        tale.applies(id);
    }
    waits(&mut tale, 30);
    assert!(broken_at(&property(), &tale).is_some());
    assert_eq!(rule(&tale), "not-over");
}

#[test]
fn is_vacuous_where_nothing_is_parked() {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    assert_vacuous(&property(), &tale);
    let mut tale = Tale::on_kafka();
    parks(&mut tale, &["e1"]);
    assert_vacuous(&DlqAlertTruth::new("pager", "ParkedEvents"), &tale);
}
