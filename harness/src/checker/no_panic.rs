//! `no-panic`: no code of the system panics, not even in a task that nobody awaits.
//!
//! A service that panics is started again, and a task of it that panics is simply gone, so that nothing else may ever show
//! it. Whether panics are bugs is for the system to say: one that is built to crash and start again does without this
//! property. Panics of operations are for `operations`.

use super::{Property, Verdict, Witness};
use crate::history::{CLIENT, Event, History, What};

/// No host but the clients' panics.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPanic;

impl Property for NoPanic {
    fn id(&self) -> &str {
        "no-panic"
    }

    fn promise(&self) -> &str {
        "no service panics, not even in a task that nobody awaits"
    }

    fn check(&self, history: &History) -> Verdict {
        let mut services = history.events.iter().filter(|event| *event.host != *CLIENT);
        if !services
            .clone()
            .any(|event| matches!(event.what, What::HostStarted { .. }))
        {
            return Verdict::Vacuous("no host was started".to_owned());
        }
        let panic = services.find_map(|event| match &event.what {
            What::Panicked { place, .. } => Some((event, place)),
            _ => None,
        });
        let Some((event, place)) = panic else {
            return Verdict::Holds;
        };
        Verdict::Broken(Witness {
            rule: place.clone(),
            summary: format!("{} {}", event.host, event.what),
            index: event.index,
            chain: story(history, event),
            inevitable_from: None,
        })
    }
}

/// What the host had in hand when it panicked, what went wrong there before, and whether it ended with that.
fn story(history: &History, panic: &Event) -> Vec<u64> {
    let own = |event: &&Event| event.host == panic.host;
    let (before, after) = history.events.split_at(panic.index as usize);
    let mut told = vec![panic.index];
    let mut is_told = [false; 4];
    for event in before.iter().rev().filter(own) {
        let sort = match event.what {
            What::Delivered { .. } => 0,
            What::StatementFailed { .. } => 1,
            What::FaultBit { .. } => 2,
            What::HostStarted { .. } => 3,
            _ => continue,
        };
        if !std::mem::replace(&mut is_told[sort], true) {
            told.insert(0, event.index);
        }
        if is_told[3] {
            break;
        }
    }
    let next = after.iter().skip(1).filter(own).find(|event| {
        matches!(
            event.what,
            What::HostExited { .. } | What::HostCrashed | What::HostStarted { .. }
        )
    });
    let exited = next.filter(|event| matches!(event.what, What::HostExited { .. }));
    told.extend(exited.map(|event| event.index));
    told
}

#[cfg(test)]
mod tests {
    use super::NoPanic;
    use crate::checker::Property;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at, complaint};
    use crate::history::{CLIENT, What};

    fn panics(tale: &mut Tale, host: &str) -> u64 {
        let what = What::Panicked {
            message: "an invoice has a customer".to_owned(),
            place: "src/billing.rs:52:9".to_owned(),
        };
        tale.happens(host, what)
    }

    fn starts(tale: &mut Tale, host: &str) -> u64 {
        tale.happens(host, What::HostStarted { incarnation: 1 })
    }

    #[test]
    fn accepts_services_that_fail_with_an_error() {
        let mut tale = Tale::on_kafka();
        starts(&mut tale, "billing");
        let error = Some("no configuration".to_owned());
        tale.happens("billing", What::HostExited { error });
        assert_holds(&NoPanic, &tale);
    }

    #[test]
    fn rejects_a_panic_that_nobody_noticed() {
        let mut tale = Tale::on_kafka();
        starts(&mut tale, "billing");
        tale.brings("e1", "order-1");
        let panicked = panics(&mut tale, "billing");
        tale.acks("e1");
        assert_eq!(broken_at(&NoPanic, &tale), Some(panicked));
        assert_eq!(
            complaint(&NoPanic, &tale),
            "billing panicked: an invoice has a customer, at src/billing.rs:52:9"
        );
    }

    #[test]
    fn the_story_is_what_the_host_had_in_hand_and_what_became_of_it() {
        let mut tale = Tale::on_kafka();
        starts(&mut tale, "billing");
        tale.brings("e1", "order-1");
        tale.acks("e1");
        tale.crashes("billing");
        let started = starts(&mut tale, "billing");
        tale.fails_a_statement("orders");
        let failed = tale.fails_a_statement("billing");
        let panicked = panics(&mut tale, "billing");
        let error = Some("panicked".to_owned());
        let exited = tale.happens("billing", What::HostExited { error });
        let verdict = NoPanic.check(&tale.history);
        let witness = verdict.witness().unwrap();
        assert_eq!(witness.chain, [started, failed, panicked, exited]);
        assert_eq!(witness.rule, "src/billing.rs:52:9");
    }

    #[test]
    fn panics_of_clients_are_for_operations() {
        let mut tale = Tale::on_kafka();
        starts(&mut tale, "billing");
        panics(&mut tale, CLIENT);
        assert_holds(&NoPanic, &tale);
    }

    #[test]
    fn is_vacuous_if_nothing_ran() {
        assert_vacuous(&NoPanic, &Tale::on_kafka());
    }
}
