//! Histories that `causality` accepts, and one for each way in which it is broken.

use super::Causality;
use crate::checker::test_history::{
    Tale, assert_holds, assert_vacuous, broken_at, complaint, correlated, effect, flow, order_event,
};
use crate::history::{Announcement, Fact};
use crate::message::{CAUSATION_ID, CORRELATION_ID, Message};

/// The same state, whose probe declares whether a flow begins with it.
fn declared(state: Announcement, is_root: bool) -> Announcement {
    Announcement {
        is_root: Some(is_root),
        ..state
    }
}

/// A host commits the effects of some events and one announcement, all in one transaction.
fn commits_together(tale: &mut Tale, host: &str, effects: &[&str], new: Announcement) -> u64 {
    tale.commit(host, "billing");
    for id in effects {
        tale.observes(host, "billing", Fact::Applied(effect(id, "")));
    }
    tale.observes(host, "billing", Fact::Announced(new))
}

#[test]
fn accepts_a_chain_with_its_effects() {
    let mut tale = Tale::of_a_chain();
    tale.applies_under("e1", "flow-1");
    tale.applies_under("e1", "");
    tale.parks("e2");
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_events_that_name_a_cause_in_their_transaction() {
    let mut tale = Tale::of_a_chain();
    let either = flow("e3", "order-1", "flow-1", "e1");
    commits_together(&mut tale, "billing", &["e1", "e2"], either);
    let next_step = Fact::Announced(flow("e4", "order-1", "flow-1", "e3"));
    tale.observes("billing", "billing", next_step);
    let foreign = flow("e5", "order-5", "flow-5", "foreign");
    commits_together(&mut tale, "billing", &["foreign", "e1"], foreign);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_a_new_flow_where_no_event_is_handled() {
    let mut tale = Tale::of_a_chain();
    tale.announces("billing", flow("timer", "report-1", "flow-timer", ""));
    // A request: what announces and what handles it are committed at once.
    let request = flow("e4", "order-4", "flow-4", "");
    commits_together(&mut tale, "billing", &["e4"], request);
    // A host that is handed nothing acts on requests.
    let asked = flow("e5", "order-5", "flow-5", "request-5");
    commits_together(&mut tale, "operator", &["e1"], asked);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_what_an_operator_does_with_a_parked_event() {
    let mut tale = Tale::of_a_chain();
    tale.parks("e1");
    let asked = flow("e3", "order-3", "flow-3", "request-3");
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
            tale.announces("billing", flow(id, entity, "cmd-1", "cmd-1"));
            tale.sends("billing", correlated(id, "cmd-1", "cmd-1"));
        }
        assert_holds(&Causality, &tale);
    }
}

#[test]
fn accepts_two_events_of_one_request() {
    let mut tale = Tale::of_a_chain();
    tale.announces("orders", flow("e3", "customer-1", "flow-1", "request-1"));
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_a_second_request_about_the_entity_of_the_flow() {
    let mut tale = Tale::of_a_chain();
    tale.announces("orders", flow("e3", "order-1", "flow-1", "request-2"));
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_two_events_of_one_transaction_that_name_no_cause() {
    let mut tale = Tale::of_a_chain();
    tale.announces("orders", flow("e3", "order-3", "flow-3", ""));
    let second = Fact::Announced(flow("e4", "customer-3", "flow-3", ""));
    tale.observes("orders", "orders", second);
    assert_holds(&Causality, &tale);
}

#[test]
fn rejects_a_message_without_correlation_id() {
    let mut tale = Tale::of_a_chain();
    let uncorrelated = tale.sends("orders", order_event("e3", "order-3"));
    assert_eq!(broken_at(&Causality, &tale), Some(uncorrelated));
}

#[test]
fn rejects_a_regenerated_correlation_id() {
    let mut tale = Tale::of_a_chain();
    let regenerated = tale.announces("billing", flow("e3", "order-1", "flow-new", "e1"));
    assert_eq!(broken_at(&Causality, &tale), Some(regenerated));
}

#[test]
fn rejects_a_chain_that_begins_anew_in_a_consumer() {
    for cause in ["", "e3", "flow-new", "nobody-knows"] {
        let mut tale = Tale::of_a_chain();
        let anew = flow("e3", "order-1", "flow-new", cause);
        let anew = commits_together(&mut tale, "billing", &["e1"], anew);
        assert_eq!(broken_at(&Causality, &tale), Some(anew), "{cause}");
    }
}

#[test]
fn rejects_another_event_as_the_cause_than_the_one_that_was_handled() {
    let mut tale = Tale::of_a_chain();
    let wrong = flow("e3", "order-1", "flow-1", "e1");
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
        let lost = flow("e3", "payment-1", "flow-1", cause);
        // Undeclared it may be an ingress' habit.
        let mut tale = Tale::of_a_chain();
        tale.announces("billing", lost.clone());
        assert_holds(&Causality, &tale);
        let mut tale = Tale::of_a_chain();
        let lost = tale.announces("billing", declared(lost, false));
        assert_eq!(broken_at(&Causality, &tale), Some(lost), "{cause}");
    }
}

#[test]
fn rejects_two_requests_that_share_a_correlation_id() {
    for causes in [
        ["request-1", "request-2"],
        ["", "request-2"],
        ["", ""],
        ["flow-5"; 2],
    ] {
        let [first, second] = causes.map(|cause| flow("e5", "order-5", "flow-5", cause));
        let second = Announcement {
            event_id: "e6".to_owned(),
            ..second
        };
        let mut tale = Tale::of_a_chain();
        tale.announces("orders", declared(first.clone(), true));
        tale.announces("orders", second.clone());
        assert_holds(&Causality, &tale);
        let mut tale = Tale::of_a_chain();
        tale.announces("orders", declared(first, true));
        let crosstalk = tale.announces("orders", declared(second, true));
        assert_eq!(broken_at(&Causality, &tale), Some(crosstalk), "{causes:?}");
    }
}

#[test]
fn accepts_declared_roots_of_one_request() {
    let mut tale = Tale::of_a_chain();
    for (id, service) in [("e5", "orders"), ("e6", "stock")] {
        let root = flow(id, id, "flow-5", "request-5");
        tale.announces(service, declared(root, true));
    }
    tale.announces(
        "orders",
        declared(flow("e7", "order-7", "flow-7", ""), true),
    );
    let second = declared(flow("e8", "customer-7", "flow-7", ""), true);
    tale.observes("orders", "orders", Fact::Announced(second));
    // A command that came over the broker is the request of both.
    tale.sends("client", order_event("cmd-1", "order-1"));
    for id in ["e9", "e10"] {
        let commanded = flow(id, "order-1", "flow-9", "cmd-1");
        tale.announces("orders", declared(commanded, true));
    }
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_a_declared_root_beside_an_effect() {
    let mut tale = Tale::of_a_chain();
    let closed = declared(flow("e3", "day-1", "flow-new", ""), true);
    commits_together(&mut tale, "billing", &["e1"], closed);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_a_new_flow_that_sums_up_several() {
    let mut tale = Tale::of_a_chain();
    tale.announces("orders", flow("e3", "order-3", "flow-3", ""));
    let sum = flow("e4", "day-1", "flow-4", "");
    commits_together(&mut tale, "billing", &["e1", "e3"], sum);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_what_stands_apart_from_all_flows() {
    let mut tale = Tale::of_a_chain();
    tale.sends("meter", Message::new("payments", "", "1"));
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_messages_without_a_cause_where_none_names_one() {
    let mut tale = Tale::of_a_chain();
    let next = Announcement {
        topic: "payments".to_owned(),
        ..flow("e3", "order-1", "flow-1", "e2")
    };
    tale.announces("billing", next);
    let mut message = order_event("e3", "order-1").header(CORRELATION_ID, "flow-1");
    message.topic = "payments".to_owned();
    tale.sends("billing", message);
    assert_holds(&Causality, &tale);
}

#[test]
fn accepts_the_first_of_a_flow_that_names_itself() {
    let mut tale = Tale::of_a_chain();
    tale.announces("orders", flow("e3", "order-2", "flow-2", "e3"));
    tale.sends("orders", correlated("e3", "flow-2", "e3"));
    assert_holds(&Causality, &tale);
}

#[test]
fn rejects_a_message_with_another_cause_than_was_committed() {
    let without = order_event("e2", "order-1").header(CORRELATION_ID, "flow-1");
    let itself = correlated("e2", "flow-1", "e2");
    for message in [correlated("e2", "flow-1", "e0"), without, itself] {
        let mut tale = Tale::of_a_chain();
        let wrong = tale.sends("billing", message);
        assert_eq!(broken_at(&Causality, &tale), Some(wrong));
    }
    let mut tale = Tale::of_a_chain();
    tale.sends("billing", correlated("e2", "flow-1", "request-1"));
    assert_eq!(
        complaint(&Causality, &tale),
        "order.changed e2 of order-1 was published with request-1 as its cause, but committed \
         with e1"
    );
}

#[test]
fn rejects_a_parked_message_with_another_cause() {
    let mut tale = Tale::of_a_chain();
    let wrong = tale.parks_as("e2", |message| message.header(CAUSATION_ID, "e0"));
    assert_eq!(broken_at(&Causality, &tale), Some(wrong));
}

#[test]
fn rejects_a_copy_under_another_correlation_id() {
    let mut tale = Tale::of_a_chain();
    let strayed = tale.sends("billing", correlated("e2", "flow-2", "e1"));
    assert_eq!(broken_at(&Causality, &tale), Some(strayed));
}

#[test]
fn rejects_a_parked_message_under_another_correlation_id() {
    let mut tale = Tale::of_a_chain();
    let strayed = tale.parks_as("e1", |message: Message| {
        message.header(CORRELATION_ID, "flow-dead")
    });
    assert_eq!(broken_at(&Causality, &tale), Some(strayed));
}

#[test]
fn rejects_an_effect_under_another_correlation_id() {
    let mut tale = Tale::of_a_chain();
    let strayed = tale.applies_under("e1", "flow-2");
    assert_eq!(broken_at(&Causality, &tale), Some(strayed));
}

#[test]
fn is_vacuous_without_causes_or_without_ids() {
    let mut tale = Tale::on_kafka();
    tale.announces("orders", flow("e1", "order-1", "flow-1", "request-1"));
    assert_vacuous(&Causality, &tale);
    let mut tale = Tale::on_kafka();
    tale.publishes("e1", "order-1");
    assert_vacuous(&Causality, &tale);
}
