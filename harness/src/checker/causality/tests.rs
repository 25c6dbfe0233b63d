//! Histories that `causality` accepts, and one for each way in which it is broken.

use super::Causality;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, at, broken_at, complaint, correlated, order_event,
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
    says(tale, host, "working", Some(correlation))
}

fn says(tale: &mut Tale, host: &str, text: &str, correlation: Option<&str>) -> u64 {
    let line = What::Logged {
        level: "INFO".to_owned(),
        message: text.to_owned(),
        correlation_id: correlation.map(str::to_owned),
    };
    tale.happens(host, line)
}

fn effect(id: &str, correlation: &str) -> Fact {
    Fact::Applied(Application {
        consumer: "billing".to_owned(),
        event_id: id.to_owned(),
        entity: "order-1".to_owned(),
        effect: "booked".to_owned(),
        correlation_id: correlation.to_owned(),
    })
}

fn applied_under(tale: &mut Tale, id: &str, correlation: &str) -> u64 {
    tale.commit("billing", "billing");
    tale.observes("billing", "billing", effect(id, correlation))
}

/// A host commits the effects of some events and one announcement, all in one transaction.
fn commits_together(tale: &mut Tale, host: &str, effects: &[&str], new: Announcement) -> u64 {
    tale.commit(host, "billing");
    for id in effects {
        tale.observes(host, "billing", effect(id, ""));
    }
    tale.observes(host, "billing", Fact::Announced(new))
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
fn accepts_events_that_name_a_cause_in_their_transaction() {
    let mut tale = chain();
    let either = state("e3", "order-1", "flow-1", "e1");
    commits_together(&mut tale, "billing", &["e1", "e2"], either);
    let next_step = Fact::Announced(state("e4", "order-1", "flow-1", "e3"));
    tale.observes("billing", "billing", next_step);
    let foreign = state("e5", "order-5", "flow-5", "foreign");
    commits_together(&mut tale, "billing", &["foreign", "e1"], foreign);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_a_new_flow_where_no_event_is_handled() {
    let mut tale = chain();
    tale.announces("billing", state("timer", "report-1", "flow-timer", ""));
    // A request: what announces and what handles it are committed at once.
    let request = state("e4", "order-4", "flow-4", "");
    commits_together(&mut tale, "billing", &["e4"], request);
    // A host that is handed nothing acts on requests.
    let asked = state("e5", "order-5", "flow-5", "request-5");
    commits_together(&mut tale, "operator", &["e1"], asked);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_what_an_operator_does_with_a_parked_event() {
    let mut tale = chain();
    tale.parks("e1");
    let asked = state("e3", "order-3", "flow-3", "request-3");
    commits_together(&mut tale, "billing", &["e1"], asked);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_a_clients_command_that_founds_a_flow() {
    // The command's id serves as the flow's, whether or not the command says so itself.
    for command in [
        order_event("cmd-1", "order-1"),
        order_event("cmd-1", "order-1").header(CORRELATION_ID, "cmd-1"),
    ] {
        let mut tale = Tale::on_kafka();
        tale.sends("client", command);
        tale.delivers("cmd-1");
        for (id, entity) in [("e1", "order-1"), ("e2", "stock-1")] {
            tale.announces("billing", state(id, entity, "cmd-1", "cmd-1"));
            tale.sends("billing", correlated(id, "cmd-1", "cmd-1"));
        }
        assert_holds(&Causality, &tale);
    }
}

#[test]
fn accepts_two_events_of_one_request() {
    let mut tale = chain();
    tale.announces("orders", state("e3", "customer-1", "flow-1", "request-1"));
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_a_second_request_about_the_entity_of_the_flow() {
    let mut tale = chain();
    tale.announces("orders", state("e3", "order-1", "flow-1", "request-2"));
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_two_events_of_one_transaction_that_name_no_cause() {
    let mut tale = chain();
    tale.announces("orders", state("e3", "order-3", "flow-3", ""));
    let second = Fact::Announced(state("e4", "customer-3", "flow-3", ""));
    tale.observes("orders", "orders", second);
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
fn rejects_a_chain_that_begins_anew_in_a_consumer() {
    for cause in ["", "e3", "flow-new", "nobody-knows"] {
        let mut tale = chain();
        let anew = state("e3", "order-1", "flow-new", cause);
        let anew = commits_together(&mut tale, "billing", &["e1"], anew);
        assert_eq!(broken_at(&Causality, &tale), Some(anew), "{cause}");
    }
}

#[test]
fn rejects_another_event_as_the_cause_than_the_one_that_was_handled() {
    let mut tale = chain();
    let wrong = state("e3", "order-1", "flow-1", "e1");
    let wrong = commits_together(&mut tale, "billing", &["e2"], wrong);
    assert_eq!(broken_at(&Causality, &tale), Some(wrong));
    assert_eq!(
        complaint(&Causality, &tale),
        "order.changed e3 of order-1 was committed with the effect of order.changed e2 of order-1, \
         but names e1 as its cause"
    );
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
    for entity in ["order-2", ""] {
        let mut tale = chain();
        let crosstalk = tale.announces("orders", state("e3", entity, "flow-1", "request-2"));
        assert_eq!(broken_at(&Causality, &tale), Some(crosstalk), "{entity}");
    }

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
fn accepts_log_lines_under_every_flow_that_reached_the_host() {
    let mut tale = chain();
    tale.announces("orders", state("e3", "order-3", "flow-3", "request-3"));
    tale.announces("orders", state("e4", "order-4", "flow-4", "request-4"));
    tale.sends("orders", correlated("e3", "flow-3", "request-3"));
    tale.delivers("e3");
    applied_under(&mut tale, "e4", "flow-4");
    for flow in ["flow-3", "flow-4"] {
        says(&mut tale, "billing", "waits for event_id=e1", Some(flow));
    }
    // No id says nothing; and somebody may have asked for a report under a flow of his own.
    says(&mut tale, "billing", "handling event_id=e1", None);
    tale.announces("orders", state("e9", "order-9", "flow-9", "request-9"));
    logs(&mut tale, "billing", "flow-9");
    says(&mut tale, "billing", "e1 goes before e9.", Some("flow-9"));
    assert_holds(&Causality, &tale);
}

#[test]
fn rejects_a_log_line_about_an_event_under_a_flow_that_the_host_never_had() {
    let mut tale = chain();
    tale.announces("orders", state("e9", "order-9", "flow-9", "request-9"));
    let crossed = says(&mut tale, "billing", "handling event_id=e1", Some("flow-9"));
    assert_eq!(broken_at(&Causality, &tale), Some(crossed));
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
