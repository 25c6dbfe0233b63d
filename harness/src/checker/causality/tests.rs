//! Histories that `causality` accepts, and one for each way in which it is broken.

use super::Causality;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, at, broken_at, correlated, order_event,
};
use crate::history::{Announcement, Application, Fact, What};
use crate::message::{CORRELATION_ID, Message};

/// State of a service that belongs to a flow.
fn state(id: &str, entity: &str, correlation: &str, cause: &str) -> Announcement {
    Announcement {
        event_id: id.to_owned(),
        entity: entity.to_owned(),
        topic: "orders".to_owned(),
        event_type: "order.changed".to_owned(),
        correlation_id: correlation.to_owned(),
        cause_id: cause.to_owned(),
    }
}

/// A request leads to an event, and that one to another.
fn chain() -> Tale {
    let mut tale = Tale::on_kafka();
    tale.announces("orders", state("e1", "order-1", "flow-1", "request-1"));
    tale.sends("orders", correlated("e1", "flow-1", "request-1"));
    tale.delivers("e1");
    tale.announces("billing", state("e2", "order-1", "flow-1", "e1"));
    tale.sends("billing", correlated("e2", "flow-1", "e1"));
    tale
}

fn logs(tale: &mut Tale, host: &str, correlation: &str) -> u64 {
    let line = What::Logged {
        level: "INFO".to_owned(),
        message: "working".to_owned(),
        correlation_id: Some(correlation.to_owned()),
    };
    tale.happens(host, line)
}

fn applied_under(tale: &mut Tale, id: &str, correlation: &str) -> u64 {
    let fact = Fact::Applied(Application {
        consumer: "billing".to_owned(),
        event_id: id.to_owned(),
        entity: "order-1".to_owned(),
        effect: "booked".to_owned(),
        correlation_id: correlation.to_owned(),
    });
    tale.happens(
        "billing",
        What::Observed {
            database: "billing".into(),
            fact,
        },
    )
}

#[test]
fn accepts_a_chain_with_its_effects_and_log_lines() {
    let mut tale = chain();
    applied_under(&mut tale, "e1", "flow-1");
    applied_under(&mut tale, "e1", "");
    logs(&mut tale, "billing", "flow-1");
    tale.parks("e2");
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_two_events_of_one_request() {
    let mut tale = chain();
    tale.announces("orders", state("e3", "customer-1", "flow-1", "request-1"));
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_two_events_of_one_transaction_that_name_no_cause() {
    let mut tale = chain();
    tale.announces("orders", state("e3", "order-3", "flow-3", ""));
    let second = Fact::Announced(state("e4", "customer-3", "flow-3", ""));
    tale.happens(
        "orders",
        What::Observed {
            database: "orders".into(),
            fact: second,
        },
    );
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_log_lines_of_a_request_that_failed() {
    let mut tale = chain();
    logs(&mut tale, "billing", "flow-9");
    logs(&mut tale, "gateway", "flow-9");
    let (group, position) = ("orders".into(), at("orders", 0));
    let delivered = What::Delivered {
        group,
        position,
        attempt: 1,
        generation: 1,
    };
    tale.happens("orders", delivered);
    logs(&mut tale, "orders", "flow-8");
    assert_holds(&Causality, &tale);
}

#[test]
fn rejects_a_message_without_correlation_id() {
    let mut tale = chain();
    let uncorrelated = tale.sends("orders", order_event("e3", "order-3"));
    assert_eq!(broken_at(&Causality, &tale), Some(uncorrelated));
}

#[test]
fn rejects_a_regenerated_correlation_id() {
    let mut tale = chain();
    let regenerated = tale.announces("billing", state("e3", "order-1", "flow-new", "e1"));
    assert_eq!(broken_at(&Causality, &tale), Some(regenerated));
}

#[test]
fn rejects_a_chain_that_lost_its_cause() {
    for cause in ["", "e3", "flow-1", "nobody-knows"] {
        let mut tale = chain();
        let lost = tale.announces("billing", state("e3", "payment-1", "flow-1", cause));
        // A cause that only repeats the flow's id tells nothing, but may be an ingress' habit.
        assert_eq!(broken_at(&Causality, &tale), Some(lost), "{cause}");
    }
}

#[test]
fn rejects_two_requests_that_share_a_correlation_id() {
    let mut tale = chain();
    let crosstalk = tale.announces("orders", state("e3", "order-2", "flow-1", "request-2"));
    assert_eq!(broken_at(&Causality, &tale), Some(crosstalk));

    for cause in ["", "flow-5"] {
        let mut tale = chain();
        tale.announces("orders", state("e5", "order-5", "flow-5", cause));
        let crosstalk = tale.announces("orders", state("e6", "order-6", "flow-5", cause));
        assert_eq!(broken_at(&Causality, &tale), Some(crosstalk), "{cause}");
    }
}

#[test]
fn rejects_a_copy_under_another_correlation_id() {
    let mut tale = chain();
    let strayed = tale.sends("billing", correlated("e2", "flow-2", "e1"));
    assert_eq!(broken_at(&Causality, &tale), Some(strayed));
}

#[test]
fn rejects_a_parked_message_under_another_correlation_id() {
    let mut tale = chain();
    let strayed = tale.parks_as("e1", |message: Message| {
        message.header(CORRELATION_ID, "flow-dead")
    });
    assert_eq!(broken_at(&Causality, &tale), Some(strayed));
}

#[test]
fn rejects_an_effect_under_another_correlation_id() {
    let mut tale = chain();
    let strayed = applied_under(&mut tale, "e1", "flow-2");
    assert_eq!(broken_at(&Causality, &tale), Some(strayed));
}

#[test]
fn rejects_log_lines_under_an_id_that_a_consumer_made_up() {
    let mut tale = chain();
    let made_up = logs(&mut tale, "billing", "flow-made-up");
    assert_eq!(broken_at(&Causality, &tale), Some(made_up));
}

#[test]
fn is_vacuous_without_causes_or_without_ids() {
    let mut tale = Tale::on_kafka();
    tale.announces("orders", state("e1", "order-1", "flow-1", "request-1"));
    assert_vacuous(&Causality, &tale);
    let mut tale = Tale::on_kafka();
    tale.publishes("e1", "order-1");
    assert_vacuous(&Causality, &tale);
}
