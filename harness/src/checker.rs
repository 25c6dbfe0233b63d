//! Checkers: what a run's history says about each property.
//!
//! A checker is a pure function of the history. It never asks a service, and it says
//! [`Verdict::Vacuous`] where nothing happened that could have broken its property.

mod alarm_state;
mod alarms;
mod breach;
mod breaker;
mod causality;
mod convergence;
mod dlq_alert_truth;
mod dlq_replay;
mod dlq_routing;
mod effect_once;
mod entity_order;
mod fencing;
mod lag_truth;
mod lane;
mod log;
mod log_correlation;
mod marks;
mod no_ghost_event;
mod no_lost_event;
mod no_panic;
mod one_event_per_id;
mod only_poison_parked;
mod operation_once;
mod operations;
mod origins;
mod placements;
mod progress;
mod schema;
mod story;
#[cfg(test)]
mod test_history;
mod trail;
mod trouble;
mod withheld;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use breaker::{Breaker, BreakerNumbers};
pub use causality::Causality;
pub use convergence::Convergence;
pub use dlq_alert_truth::{DepthThreshold, DlqAlertTruth};
pub use dlq_replay::DlqReplay;
pub use dlq_routing::DlqRouting;
pub use effect_once::EffectOnce;
pub use entity_order::EntityOrder;
pub use fencing::Fencing;
pub use lag_truth::LagTruth;
pub use log::Log;
pub use log_correlation::LogCorrelation;
pub use no_ghost_event::NoGhostEvent;
pub use no_lost_event::NoLostEvent;
pub use no_panic::NoPanic;
pub use one_event_per_id::OneEventPerId;
pub use only_poison_parked::OnlyPoisonParked;
pub use operation_once::OperationOnce;
pub(crate) use operations::OPERATIONS;
pub use operations::Operations;
pub use progress::Progress;
pub use schema::Schema;

use crate::history::History;

/// The events of a history that tell what became of one business event, by index and in order; the first of them shows it.
pub(crate) fn story_of(history: &History, event_id: &str, index: u64) -> Vec<u64> {
    let about = breach::Breach::of(event_id, None, index, String::new());
    story::tell(&about, history)
}

/// Something that a system promises, and how to tell from a history whether it was kept.
pub trait Property: Send + Sync {
    /// The property's name, such as `no-lost-event`.
    fn id(&self) -> &str;

    /// The promise in one sentence.
    fn promise(&self) -> &str;

    /// What sort of promise it is; safety unless said otherwise.
    fn kind(&self) -> PropertyKind {
        PropertyKind::Safety
    }

    /// Judges one finished run.
    fn check(&self, history: &History) -> Verdict;

    /// What the property makes of a history that can be drawn over time, for the story of a failure; nothing unless said otherwise.
    fn figures(&self, history: &History) -> Vec<Figure> {
        let _ = history;
        Vec::new()
    }
}

/// A figure over time, as a property follows it through a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is of.
    pub title: String,
    /// What is counted, or what the numbers stand for.
    pub unit: &'static str,
    /// The events at which it changes, by index and in order, and the value from there on.
    pub points: Vec<(u64, u64)>,
}

/// The two sorts of promises (Lamport, Proving the correctness of multiprocess programs, 1977).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PropertyKind {
    /// Something bad never happens. One event breaks it.
    Safety,
    /// Something good happens in the end. That it does not often follows from what else is broken, so
    /// it is told last.
    Liveness,
}

/// What a checker found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The promise was put to the test and kept.
    Holds,
    /// The promise was broken.
    Broken(Witness),
    /// Nothing happened that could have broken the promise; the text says what was missing.
    Vacuous(String),
}

impl Verdict {
    /// The witness, if the property is broken.
    pub fn witness(&self) -> Option<&Witness> {
        match self {
            Verdict::Broken(witness) => Some(witness),
            _ => None,
        }
    }

    /// The verdict in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Broken(_) => "broken",
            Verdict::Vacuous(_) => "vacuous",
        }
    }
}

/// The proof that a promise was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Which rule of the property was broken, such as `parked-again`; empty where it has only one.
    /// A shrunk failure breaks the rule that the whole one broke.
    #[serde(default)]
    pub rule: String,
    /// One sentence: who, what, which entity.
    pub summary: String,
    /// The event of the history with which the promise is broken.
    pub index: u64,
    /// The event from which on nothing could have saved it, where the checker knows.
    pub inevitable_from: Option<u64>,
    /// The events that tell the story, in order, by index. A report may leave out some of many.
    pub chain: Vec<u64>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (#{})", self.summary, self.index)
    }
}
