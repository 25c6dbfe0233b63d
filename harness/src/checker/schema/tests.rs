//! Histories that `schema` accepts, and one for each way in which it rejects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Schema;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, broken_at, complaint, order_event,
};
use crate::history::What;
use crate::message::SCHEMA_VERSION;

/// `billing` reads the first version only.
fn old() -> Schema {
    Schema::default().reads("billing", "order.changed", 1..=1)
}

/// `billing` reads two versions.
fn new() -> Schema {
    Schema::default().reads("billing", "order.changed", 1..=2)
}

/// An event in a version is published and handed to `billing`.
fn brings(tale: &mut Tale, id: &str, version: &str) {
    tale.commits(id, "order-1");
    tale.sends(
        "orders",
        order_event(id, "order-1").header(SCHEMA_VERSION, version),
    );
    tale.delivers(id);
}

/// The registry's view, with rows of subject, version and outcome.
fn registry(tale: &mut Tale, rows: &[[&str; 3]]) -> u64 {
    let columns = ["subject", "version", "outcome"];
    let row = |own: &[&str; 3]| -> BTreeMap<String, Value> {
        let named = columns.into_iter().zip(own);
        named
            .map(|(name, value)| (name.to_owned(), Value::from(*value)))
            .collect()
    };
    tale.happens(
        "harness",
        What::FinalState {
            database: "registry".into(),
            view: "registrations".to_owned(),
            rows: rows.iter().map(row).collect(),
        },
    )
}

fn registering() -> Schema {
    Schema::default()
        .registry("registrations")
        .incompatible("order.changed", "1", "3")
}

#[test]
fn accepts_a_version_that_is_parked_and_applied_after_the_reader_was_replaced() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "2");
    tale.parks("e1");
    tale.acks("e1");
    assert_holds(&old(), &tale);
    let by_start = Schema::default().reads_by_start("billing", "order.changed", |start| 1..=start);
    tale.happens("billing", What::HostStarted { incarnation: 1 });
    tale.crashes("billing");
    tale.sends(
        "orders",
        order_event("e1", "order-1").header(SCHEMA_VERSION, "2"),
    );
    tale.delivers("e1");
    tale.applies("e1");
    tale.acks("e1");
    assert_holds(&by_start, &tale);
}

#[test]
fn accepts_two_versions_that_are_read() {
    let mut tale = Tale::on_kafka();
    for (id, version) in [("e1", "1"), ("e2", "2")] {
        brings(&mut tale, id, version);
        tale.applies(id);
        tale.acks(id);
    }
    assert_holds(&new(), &tale);
}

#[test]
fn accepts_what_is_given_back_and_not_settled_yet() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "2");
    tale.retries("e1");
    assert_holds(&old(), &tale);
}

#[test]
fn rejects_what_is_dropped() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "2");
    let dropped = tale.acks("e1");
    assert_eq!(broken_at(&old(), &tale), Some(dropped));
    assert_eq!(
        complaint(&old(), &tale),
        "billing acknowledged version 2 of order.changed e1 of order-1 without parking it"
    );
}

#[test]
fn rejects_what_is_parked_only_after_it_was_acknowledged() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "2");
    let dropped = tale.acks("e1");
    tale.parks("e1");
    assert_eq!(broken_at(&old(), &tale), Some(dropped));
}

#[test]
fn rejects_a_version_that_is_dropped_although_it_could_be_read_where_there_are_two() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "1");
    tale.applies("e1");
    tale.acks("e1");
    brings(&mut tale, "e2", "2");
    let dropped = tale.acks("e2");
    assert_eq!(broken_at(&new(), &tale), Some(dropped));
}

#[test]
fn rejects_what_is_guessed_at() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "2");
    let guessed = tale.applies("e1");
    tale.acks("e1");
    assert_eq!(broken_at(&old(), &tale), Some(guessed));
    assert_eq!(
        complaint(&old(), &tale),
        "billing applied version 2 of order.changed e1 of order-1, which it cannot read"
    );
}

#[test]
fn rejects_what_is_parked_without_a_reason() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "2");
    let parked = tale.parks_as("e1", |message| message);
    tale.acks("e1");
    assert_eq!(broken_at(&old(), &tale), Some(parked));
}

#[test]
fn accepts_a_registry_that_refuses_what_breaks_an_earlier_version() {
    let mut tale = Tale::on_kafka();
    let rows = [
        ["order.changed", "1", "registered"],
        ["order.changed", "2", "registered"],
        ["order.changed", "", "refused"],
    ];
    registry(&mut tale, &rows);
    assert_holds(&registering(), &tale);
}

#[test]
fn rejects_a_registry_that_lets_in_what_breaks_an_earlier_version() {
    let mut tale = Tale::on_kafka();
    let rows = ["1", "2", "3"].map(|version| ["order.changed", version, "registered"]);
    let read = registry(&mut tale, &rows);
    assert_eq!(broken_at(&registering(), &tale), Some(read));
    assert_eq!(
        complaint(&registering(), &tale),
        "version 3 of order.changed was let in, although it breaks version 1"
    );
}

#[test]
fn is_vacuous_where_nothing_was_strange_and_nothing_refused() {
    let mut tale = Tale::on_kafka();
    brings(&mut tale, "e1", "1");
    tale.applies("e1");
    tale.acks("e1");
    registry(&mut tale, &[["order.changed", "1", "registered"]]);
    assert_vacuous(&old(), &tale);
    assert_vacuous(&registering(), &tale);
    brings(&mut tale, "e2", "2");
    assert_vacuous(&Schema::default(), &tale);
}

#[test]
fn is_vacuous_where_messages_have_no_version() {
    let mut tale = Tale::on_kafka();
    tale.brings("e1", "order-1");
    tale.acks("e1");
    assert_vacuous(&old(), &tale);
}
