//! `operations`: no operation of the workload panics, such as by an assertion that fails.
//!
//! Whether an answer is the right one is for the operation itself to assert, and for the system's own
//! properties. An operation that fails with an error is no breach: under faults that is to be expected.

use super::{Property, Verdict, Witness};
use crate::history::{Answer, History, What};

/// The property's name.
pub(crate) const OPERATIONS: &str = "operations";

/// No operation panics. Every system has this property unless it calls
/// [`System::operations_may_panic`](crate::System::operations_may_panic).
#[derive(Clone, Copy, Debug, Default)]
pub struct Operations;

impl Property for Operations {
    fn id(&self) -> &str {
        OPERATIONS
    }

    fn promise(&self) -> &str {
        "no operation panics or fails an assertion"
    }

    fn check(&self, history: &History) -> Verdict {
        let mut answered = false;
        for event in &history.events {
            let What::OperationAnswered {
                operation,
                answer,
                text,
            } = &event.what
            else {
                continue;
            };
            answered = true;
            if *answer == Answer::Panicked {
                let invoked = history.events.iter().find(|event| {
                    matches!(&event.what, What::OperationInvoked { operation: own, .. } if own == operation)
                });
                let chain = invoked
                    .map(|event| event.index)
                    .into_iter()
                    .chain([event.index]);
                return Verdict::Broken(Witness {
                    summary: format!("operation {operation} panicked: {text}"),
                    index: event.index,
                    chain: chain.collect(),
                    ..Witness::default()
                });
            }
        }
        match answered {
            true => Verdict::Holds,
            false => Verdict::Vacuous("no operation was answered".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Operations;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at, complaint};
    use crate::history::{Answer, What};

    fn ends(tale: &mut Tale, answer: Answer, text: &str) -> u64 {
        let (operation, text) = (0, text.to_owned());
        let invoked = text.clone();
        tale.happens(
            "client",
            What::OperationInvoked {
                operation,
                text: invoked,
            },
        );
        tale.happens(
            "client",
            What::OperationAnswered {
                operation,
                answer,
                text,
            },
        )
    }

    #[test]
    fn accepts_operations_that_are_done_or_fail_with_an_error() {
        let mut tale = Tale::on_kafka();
        ends(&mut tale, Answer::Done, "null");
        ends(&mut tale, Answer::Failed, "no answer in time");
        assert_holds(&Operations, &tale);
    }

    #[test]
    fn rejects_an_operation_that_panics() {
        let mut tale = Tale::on_kafka();
        let panicked = ends(&mut tale, Answer::Panicked, "assertion failed");
        assert_eq!(broken_at(&Operations, &tale), Some(panicked));
        assert_eq!(
            complaint(&Operations, &tale),
            "operation 0 panicked: assertion failed"
        );
    }

    #[test]
    fn is_vacuous_if_nothing_was_asked() {
        assert_vacuous(&Operations, &Tale::on_kafka());
    }
}
