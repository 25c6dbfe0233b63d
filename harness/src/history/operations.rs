//! What clients asked and what they were told, read back from a history for a property to judge.
//!
//! It pairs each operation with its answer and judges neither.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{Answer, History, What};

/// An operation of the workload, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'h> {
    /// The operation, by its index in the plan.
    pub operation: usize,
    /// The event with which it was sent.
    pub index: u64,
    /// The operation, as JSON.
    pub text: &'h str,
    /// What its client was told, if it was told anything.
    pub told: Option<Told<'h>>,
}

/// The answer to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'h> {
    /// The event with which the client had it.
    pub index: u64,
    /// How the operation ended.
    pub answer: Answer,
    /// The answer as JSON, or the error in words.
    pub text: &'h str,
}

impl<'h> Asked<'h> {
    /// The operation, or `None` if it is of another shape.
    pub fn operation<O: DeserializeOwned>(&self) -> Option<O> {
        serde_json::from_str(self.text).ok()
    }

    /// The answer with the event that shows it, or `None` if there was none, the operation failed,
    /// or its answer is of another shape.
    pub fn answer<T: DeserializeOwned>(&self) -> Option<(u64, T)> {
        let told = self.told.filter(|told| told.answer == Answer::Done)?;
        Some((told.index, serde_json::from_str(told.text).ok()?))
    }
}

impl History {
    /// The operations that were sent, in that order, each with its answer.
    pub fn operations(&self) -> Vec<Asked<'_>> {
        let mut asked = Vec::new();
        let mut places = BTreeMap::new();
        for event in &self.events {
            match &event.what {
                What::OperationInvoked { operation, text } => {
                    places.insert(*operation, asked.len());
                    asked.push(Asked {
                        operation: *operation,
                        index: event.index,
                        text,
                        told: None,
                    });
                }
                What::OperationAnswered {
                    operation,
                    answer,
                    text,
                } => {
                    if let Some(&place) = places.get(operation) {
                        asked[place].told = Some(Told {
                            index: event.index,
                            answer: *answer,
                            text,
                        });
                    }
                }
                _ => {}
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::Profile;
    use crate::history::Description;

    fn description() -> Description {
        Description {
            profile: Profile::kafka(),
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            ..Description::default()
        }
    }

    #[test]
    fn pairs_each_operation_with_its_answer() {
        let mut history = History::new(description());
        let mut happens = |what| history.record(Duration::ZERO, &"client".into(), what);
        let invoked = |operation, text: &str| What::OperationInvoked {
            operation,
            text: text.to_owned(),
        };
        let answered = |operation, answer, text: &str| What::OperationAnswered {
            operation,
            answer,
            text: text.to_owned(),
        };
        happens(invoked(1, "\"A1\""));
        happens(invoked(0, "\"A2\""));
        happens(invoked(2, "\"A3\""));
        happens(answered(0, Answer::Failed, "sold out"));
        let done = happens(answered(1, Answer::Done, "7"));
        let asked = history.operations();
        let seats: Vec<Option<String>> = asked.iter().map(Asked::operation).collect();
        assert_eq!(seats, ["A1", "A2", "A3"].map(|seat| Some(seat.to_owned())));
        let tickets: Vec<Option<(u64, u32)>> = asked.iter().map(Asked::answer).collect();
        assert_eq!(tickets, [Some((done, 7)), None, None]);
        assert_eq!(asked[0].answer::<String>(), None);
        assert_eq!(asked[1].told.map(|told| told.text), Some("sold out"));
        assert_eq!(asked[2].told, None);
    }
}
