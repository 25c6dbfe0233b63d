//! Histories that `log` accepts, and one for each way in which a broker can break its word.

use std::sync::Arc;
use std::time::Duration;

use super::Log;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, at, broken_at, order_event,
};
use crate::history::{SettleOutcome, Settlement, What};
use crate::message::{Message, Position};

/// Three messages in `orders`, one order each.
fn three_messages(mut tale: Tale) -> Tale {
    for (id, entity) in [("e0", "order-0"), ("e1", "order-1"), ("e2", "order-2")] {
        tale.publishes(id, entity);
    }
    tale
}

fn kafka() -> Tale {
    three_messages(Tale::on_kafka())
}

fn jetstream(max_ack_pending: u32) -> Tale {
    three_messages(Tale::on_jetstream(max_ack_pending))
}

fn ends(tale: &mut Tale, ids: &[&str]) -> u64 {
    let message = |id: &&str| Arc::new(order_event(id, &id.replace('e', "order-")));
    let messages = ids.iter().map(message).collect();
    tale.happens(
        "broker",
        What::FinalLog {
            topic: "orders".into(),
            partition: 0,
            messages,
        },
    )
}

fn appears(tale: &mut Tale, position: Position, message: Message) -> u64 {
    tale.happens(
        "orders",
        What::Published {
            position,
            message: Arc::new(message),
        },
    )
}

fn acknowledged(tale: &mut Tale, offset: u64, id: &str) -> u64 {
    let (position, event_id) = (at("orders", offset), Some(id.to_owned()));
    tale.happens("orders", What::PublishAcknowledged { position, event_id })
}

fn settles(tale: &mut Tale, offset: u64, settlement: Settlement) -> u64 {
    tale.settles(at("orders", offset), settlement, SettleOutcome::Accepted)
}

fn delivers(tale: &mut Tale, offsets: &[u64]) -> u64 {
    let indexes = offsets
        .iter()
        .map(|&offset| tale.delivers_at(at("orders", offset)));
    indexes.last().expect("at least one delivery")
}

#[test]
fn accepts_writes_that_stay() {
    let mut tale = kafka();
    acknowledged(&mut tale, 2, "e2");
    let (position, event_id) = (at("orders", 1), Some("e1".to_owned()));
    tale.happens("orders", What::PublishDeduplicated { position, event_id });
    ends(&mut tale, &["e0", "e1", "e2"]);
    assert_holds(&Log, &tale);
}

#[test]
fn rejects_an_offset_with_two_values() {
    let mut tale = kafka();
    let second = appears(&mut tale, at("orders", 2), order_event("e3", "order-3"));
    assert_eq!(broken_at(&Log, &tale), Some(second));
}

#[test]
fn rejects_a_gap() {
    let mut tale = kafka();
    let beyond = appears(&mut tale, at("orders", 4), order_event("e3", "order-3"));
    assert_eq!(broken_at(&Log, &tale), Some(beyond));
}

#[test]
fn rejects_an_acknowledgement_of_what_does_not_stand_there() {
    let mut tale = kafka();
    let wrong = acknowledged(&mut tale, 1, "e2");
    assert_eq!(broken_at(&Log, &tale), Some(wrong));
    let mut tale = kafka();
    let nowhere = acknowledged(&mut tale, 3, "e3");
    assert_eq!(broken_at(&Log, &tale), Some(nowhere));
    let mut tale = kafka();
    let (position, event_id) = (at("orders", 1), Some("e2".to_owned()));
    let mistaken = tale.happens("orders", What::PublishDeduplicated { position, event_id });
    assert_eq!(broken_at(&Log, &tale), Some(mistaken));
}

#[test]
fn rejects_an_end_that_differs_from_what_was_appended() {
    for kept in [
        &["e0", "e1"][..],
        &["e0", "e1", "e2", "e3"],
        &["e0", "e2", "e1"],
    ] {
        let mut tale = kafka();
        let end = ends(&mut tale, kept);
        assert_eq!(broken_at(&Log, &tale), Some(end), "{kept:?}");
    }
}

#[test]
fn rejects_a_partition_that_is_missing_in_the_end() {
    let mut tale = kafka();
    let (topic, messages) = ("payments".into(), Vec::new());
    let end = tale.happens(
        "broker",
        What::FinalLog {
            topic,
            partition: 0,
            messages,
        },
    );
    assert_eq!(broken_at(&Log, &tale), Some(end));
}

#[test]
fn kafka_goes_back_only_by_seeking_or_rebalancing() {
    let mut tale = kafka();
    delivers(&mut tale, &[0, 1]);
    settles(&mut tale, 0, Settlement::Ack);
    settles(&mut tale, 1, Settlement::Retry);
    delivers(&mut tale, &[1, 2]);
    tale.rebalances();
    delivers(&mut tale, &[1]);
    settles(&mut tale, 1, Settlement::Ack);
    delivers(&mut tale, &[2]);
    assert_holds(&Log, &tale);
}

#[test]
fn rejects_a_kafka_delivery_out_of_turn() {
    for (offsets, out_of_turn) in [
        (&[1][..], "late start"),
        (&[0, 0], "going back"),
        (&[0, 2], "skipping"),
    ] {
        let mut tale = kafka();
        let wrong = delivers(&mut tale, offsets);
        assert_eq!(broken_at(&Log, &tale), Some(wrong), "{out_of_turn}");
    }
}

#[test]
fn rejects_a_kafka_delivery_that_ignores_a_seek() {
    let mut tale = kafka();
    delivers(&mut tale, &[0]);
    settles(&mut tale, 0, Settlement::Retry);
    let ignoring = delivers(&mut tale, &[1]);
    assert_eq!(broken_at(&Log, &tale), Some(ignoring));
}

#[test]
fn rejects_a_kafka_delivery_after_its_acknowledgement() {
    let mut tale = kafka();
    delivers(&mut tale, &[0]);
    settles(&mut tale, 0, Settlement::Ack);
    tale.rebalances();
    let again = delivers(&mut tale, &[0]);
    assert_eq!(broken_at(&Log, &tale), Some(again));
}

#[test]
fn rejects_a_generation_that_starts_behind_an_unsettled_offset() {
    let mut tale = kafka();
    delivers(&mut tale, &[0, 1]);
    settles(&mut tale, 0, Settlement::Ack);
    tale.rebalances();
    let skipping = delivers(&mut tale, &[2]);
    assert_eq!(broken_at(&Log, &tale), Some(skipping));
}

#[test]
fn rejects_an_old_generation_that_is_still_served() {
    let mut tale = kafka();
    delivers(&mut tale, &[0]);
    tale.rebalances();
    let stale = What::Settled {
        group: "billing".into(),
        position: at("orders", 0),
        settlement: Settlement::Ack,
        outcome: SettleOutcome::Accepted,
        generation: 1,
    };
    let served = tale.happens("billing", stale);
    assert_eq!(broken_at(&Log, &tale), Some(served));

    let mut tale = kafka();
    tale.rebalances();
    let (group, position) = ("billing".into(), at("orders", 0));
    let served = tale.happens(
        "billing",
        What::Delivered {
            group,
            position,
            attempt: 1,
            generation: 1,
        },
    );
    assert_eq!(broken_at(&Log, &tale), Some(served));
}

/// The lease that a JetStream consumer gets unless it asks for another.
const ACK_WAIT: Duration = Duration::from_secs(3);

/// The broker takes the first message back from `billing`, so long after whatever was last.
fn expires(tale: &mut Tale, after: Duration) -> u64 {
    let last = tale.history.events.last().expect("something happened").at;
    let (group, position) = ("billing".into(), at("orders", 0));
    let what = What::LeaseExpired { group, position };
    tale.history.record(last + after, &"broker".into(), what)
}

#[test]
fn rejects_a_lease_that_ends_too_early() {
    for (early, too_early) in [(4, false), (6, true)] {
        let mut tale = jetstream(1);
        delivers(&mut tale, &[0]);
        let over = expires(&mut tale, ACK_WAIT - Duration::from_millis(early));
        let broken = too_early.then_some(over);
        assert_eq!(broken_at(&Log, &tale), broken, "{early} ms");
    }
}

#[test]
fn jetstream_redelivers_what_is_due() {
    let mut tale = jetstream(2);
    delivers(&mut tale, &[0, 1]);
    settles(&mut tale, 0, Settlement::Retry);
    settles(&mut tale, 1, Settlement::Ack);
    delivers(&mut tale, &[2, 0]);
    expires(&mut tale, ACK_WAIT);
    delivers(&mut tale, &[0]);
    settles(&mut tale, 0, Settlement::Ack);
    assert_holds(&Log, &tale);
}

#[test]
fn rejects_a_jetstream_delivery_after_its_acknowledgement() {
    let mut tale = jetstream(1);
    delivers(&mut tale, &[0]);
    settles(&mut tale, 0, Settlement::Ack);
    let again = delivers(&mut tale, &[0]);
    assert_eq!(broken_at(&Log, &tale), Some(again));
}

#[test]
fn rejects_a_jetstream_redelivery_within_the_lease() {
    let mut tale = jetstream(1);
    let again = delivers(&mut tale, &[0, 0]);
    assert_eq!(broken_at(&Log, &tale), Some(again));
}

#[test]
fn rejects_a_jetstream_delivery_that_skips_or_exceeds_the_bound() {
    let mut tale = jetstream(2);
    let skipping = delivers(&mut tale, &[1]);
    assert_eq!(broken_at(&Log, &tale), Some(skipping));
    let mut tale = jetstream(2);
    let excessive = delivers(&mut tale, &[0, 1, 2]);
    assert_eq!(broken_at(&Log, &tale), Some(excessive));
}

#[test]
fn rejects_an_id_taken_twice_within_the_window() {
    let mut tale = jetstream(1);
    let twice = tale.publishes("e1", "order-1");
    assert_eq!(broken_at(&Log, &tale), Some(twice));
    let mut tale = kafka();
    tale.publishes("e1", "order-1");
    assert_holds(&Log, &tale);
}

#[test]
fn is_vacuous_without_publications() {
    assert_vacuous(&Log, &Tale::on_kafka());
}
