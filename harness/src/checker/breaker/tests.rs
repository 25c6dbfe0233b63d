//! What `breaker` accepts and what it rejects, and where nothing had to open.

use std::time::Duration;

use super::{Breaker, BreakerNumbers};
use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, at, broken_at};
use crate::checker::{Property, Verdict};
use crate::history::What;

/// Every step of a tale takes a millisecond: it opens after three failures, for forty steps, and admits two probes.
fn breaker() -> Breaker {
    let numbers = BreakerNumbers {
        window: Duration::from_millis(1_000),
        minimum_volume: 3,
        trip_percent: 50,
        open_for: Duration::from_millis(40),
        probes: 2,
        publish_max: Duration::from_millis(5),
        recorded_within: Duration::from_millis(5),
        keeps_unsent: false,
    };
    Breaker::of("relay", numbers)
}

fn fails(tale: &mut Tale) -> u64 {
    let rejected = What::PublishRejected {
        topic: "orders".to_owned(),
        event_id: Some("e1".to_owned()),
        reason: "broker not reachable".to_owned(),
    };
    tale.happens("relay", rejected)
}

/// Its answer is lost: the relay hears of it when it gives up, five steps later at most.
fn is_unheard(tale: &mut Tale) -> u64 {
    let (topic, event_id) = ("orders".to_owned(), Some("e1".to_owned()));
    tale.happens("relay", What::PublishUnknown { topic, event_id })
}

fn succeeds(tale: &mut Tale) -> u64 {
    let acknowledged = What::PublishAcknowledged {
        position: at("orders", 0),
        event_id: Some("e1".to_owned()),
    };
    tale.happens("relay", acknowledged)
}

fn time_passes(tale: &mut Tale, steps: u32) {
    for _ in 0..steps {
        tale.commit("orders", "orders");
    }
}

/// It is tried after its rest, closes, and the event is published at last.
fn closes(tale: &mut Tale) {
    time_passes(tale, 40);
    succeeds(tale);
    succeeds(tale);
    tale.publishes("e1", "order-1");
}

/// The relay's circuit has opened.
fn opened() -> Tale {
    let mut tale = Tale::on_kafka();
    tale.commits("e1", "order-1");
    time_passes(&mut tale, 10);
    for _ in 0..3 {
        fails(&mut tale);
    }
    tale
}

fn rule(tale: &Tale) -> String {
    match breaker().check(&tale.history) {
        Verdict::Broken(witness) => witness.rule,
        other => panic!("expected a breach, got {other:?}"),
    }
}

#[test]
fn accepts_a_circuit_that_is_tried_and_closes() {
    let mut tale = opened();
    closes(&mut tale);
    for _ in 0..5 {
        succeeds(&mut tale);
    }
    assert_holds(&breaker(), &tale);
}

#[test]
fn accepts_what_was_under_way_when_it_opened() {
    let mut tale = opened();
    fails(&mut tale);
    fails(&mut tale);
    tale.publishes("e1", "order-1");
    assert_holds(&breaker(), &tale);
}

/// As it was recorded over JetStream: the broker knows of a lost answer at once, and the relay tried once more before it
/// gave up on it, and opened.
#[test]
fn accepts_that_a_lost_answer_is_known_later() {
    let mut tale = Tale::on_kafka();
    tale.commits("e1", "order-1");
    fails(&mut tale);
    is_unheard(&mut tale);
    fails(&mut tale);
    time_passes(&mut tale, 7);
    succeeds(&mut tale);
    closes(&mut tale);
    assert_holds(&breaker(), &tale);
}

#[test]
fn accepts_a_probe_whose_answer_is_lost() {
    let mut tale = opened();
    time_passes(&mut tale, 40);
    is_unheard(&mut tale);
    time_passes(&mut tale, 8);
    // The other probe, admitted before the first had failed.
    fails(&mut tale);
    closes(&mut tale);
    assert_holds(&breaker(), &tale);
}

/// A circuit that had opened before may be closed by what ends well, and knows nothing of that afterwards.
#[test]
fn takes_what_ends_well_after_a_pause_for_probes_perhaps() {
    let mut tale = Tale::on_kafka();
    tale.commits("e1", "order-1");
    let until = Duration::from_millis(10);
    tale.happens("relay", What::HostPaused { until });
    time_passes(&mut tale, 20);
    let closes_and_fails = |tale: &mut Tale| {
        succeeds(tale);
        succeeds(tale);
        fails(tale);
        fails(tale);
    };
    closes_and_fails(&mut tale);
    time_passes(&mut tale, 20);
    succeeds(&mut tale);
    assert_vacuous(&breaker(), &tale);
    time_passes(&mut tale, 1_000);
    closes_and_fails(&mut tale);
    time_passes(&mut tale, 20);
    let attempted = fails(&mut tale);
    assert_eq!(broken_at(&breaker(), &tale), Some(attempted));
}

/// As it was recorded over NATS: publishes on which their caller had given up long before, among them the probes of an outage,
/// came when the broker was back.
#[test]
fn concludes_nothing_from_what_had_waited_for_the_broker() {
    let mut tale = opened();
    tale.happens("broker", What::HostCrashed);
    time_passes(&mut tale, 100);
    tale.happens("broker", What::HostStarted { incarnation: 2 });
    for _ in 0..4 {
        fails(&mut tale);
    }
    tale.publishes("e1", "order-1");
    let numbers = BreakerNumbers {
        keeps_unsent: true,
        ..breaker().numbers
    };
    assert_holds(&Breaker::of("relay", numbers), &tale);
    assert_eq!(rule(&tale), "stampede", "of a client that does not wait");
    time_passes(&mut tale, 10);
    for _ in 0..3 {
        fails(&mut tale);
    }
    time_passes(&mut tale, 20);
    let attempted = fails(&mut tale);
    let broken = broken_at(&Breaker::of("relay", numbers), &tale);
    assert_eq!(broken, Some(attempted));
}

/// With so short a rest, a publish that ends may have begun before the circuit opened, or after it was closed again.
#[test]
fn concludes_nothing_where_too_little_is_known() {
    let numbers = BreakerNumbers {
        open_for: Duration::from_millis(12),
        ..breaker().numbers
    };
    let mut tale = Tale::on_kafka();
    tale.commits("e1", "order-1");
    for _ in 0..3 {
        is_unheard(&mut tale);
    }
    time_passes(&mut tale, 5);
    for _ in 0..9 {
        fails(&mut tale);
    }
    tale.publishes("e1", "order-1");
    assert_holds(&Breaker::of("relay", numbers), &tale);
}

#[test]
fn accepts_a_circuit_whose_probe_fails() {
    let mut tale = opened();
    for _ in 0..3 {
        time_passes(&mut tale, 40);
        fails(&mut tale);
    }
    closes(&mut tale);
    assert_holds(&breaker(), &tale);
}

#[test]
fn draws_the_circuit_as_it_opens_and_closes() {
    let mut tale = opened();
    let opened = tale.history.events.len() as u64 - 1;
    time_passes(&mut tale, 40);
    let tried = succeeds(&mut tale);
    let closed = succeeds(&mut tale);
    let figures = breaker().figures(&tale.history);
    assert_eq!(figures.len(), 1);
    assert_eq!(figures[0].title, "circuit of relay");
    assert_eq!(figures[0].points, [(opened, 2), (tried, 1), (closed, 0)]);
    assert_eq!(breaker().figures(&Tale::on_kafka().history), []);
}

#[test]
fn accepts_that_a_new_process_knows_nothing() {
    let mut tale = opened();
    tale.crashes("relay");
    time_passes(&mut tale, 10);
    fails(&mut tale);
    tale.publishes("e1", "order-1");
    assert_holds(&breaker(), &tale);
}

#[test]
fn accepts_that_others_publish_what_it_cannot() {
    let mut tale = opened();
    tale.publishes("e1", "order-1");
    time_passes(&mut tale, 200);
    assert_holds(&breaker(), &tale);
}

#[test]
fn takes_the_refusal_of_a_large_event_for_a_working_broker() {
    let mut tale = Tale::on_kafka();
    let event_id = "e1".to_owned();
    tale.happens("relay", What::MadeTooLarge { fault: 0, event_id });
    for _ in 0..9 {
        fails(&mut tale);
    }
    assert_vacuous(&breaker(), &tale);
}

#[test]
fn rejects_a_publish_while_it_is_open() {
    let mut tale = opened();
    time_passes(&mut tale, 20);
    let attempted = fails(&mut tale);
    assert_eq!(broken_at(&breaker(), &tale), Some(attempted));
    assert_eq!(rule(&tale), "attempted-while-open");
}

#[test]
fn rejects_a_publish_while_a_lost_answer_keeps_it_open() {
    let mut tale = Tale::on_kafka();
    tale.commits("e1", "order-1");
    for _ in 0..3 {
        is_unheard(&mut tale);
    }
    time_passes(&mut tale, 20);
    let attempted = fails(&mut tale);
    assert_eq!(broken_at(&breaker(), &tale), Some(attempted));
    assert_eq!(rule(&tale), "attempted-while-open");
}

#[test]
fn rejects_more_probes_than_there_may_be() {
    let mut tale = opened();
    time_passes(&mut tale, 40);
    fails(&mut tale);
    fails(&mut tale);
    let too_many = fails(&mut tale);
    assert_eq!(broken_at(&breaker(), &tale), Some(too_many));
    assert_eq!(rule(&tale), "stampede");
}

#[test]
fn rejects_a_circuit_that_is_never_tried_again() {
    let mut tale = opened();
    time_passes(&mut tale, 100);
    let end = tale.commit("orders", "orders");
    assert_eq!(broken_at(&breaker(), &tale), Some(end));
    assert_eq!(rule(&tale), "stuck-open");
}

#[test]
fn rejects_a_service_that_never_tries_again_with_events_of_its_own() {
    let own = || Breaker::of("orders", breaker().numbers);
    let mut tale = Tale::on_kafka();
    time_passes(&mut tale, 10);
    for _ in 0..3 {
        let (topic, event_id) = ("orders".to_owned(), None);
        tale.happens("orders", What::PublishUnknown { topic, event_id });
    }
    time_passes(&mut tale, 50);
    tale.commits("e1", "order-1");
    time_passes(&mut tale, 100);
    let end = tale.commit("orders", "orders");
    assert_eq!(broken_at(&own(), &tale), Some(end));
}

#[test]
fn is_vacuous_where_too_little_fails() {
    let mut tale = Tale::on_kafka();
    time_passes(&mut tale, 10);
    for _ in 0..4 {
        succeeds(&mut tale);
        succeeds(&mut tale);
        fails(&mut tale);
    }
    assert_vacuous(&breaker(), &tale);
}
