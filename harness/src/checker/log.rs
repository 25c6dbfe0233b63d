//! `log`: the simulated broker keeps the word of the broker that it models.
//!
//! A breach here is a defect of the harness, never of the system under test. Not judged: how much
//! longer than agreed a lease lasts, how long a session does, and which member is assigned which partition. How a profile
//! delivers and settles is judged by its own rules (`broker/profile`), how it writes by those that all share (`writing`).

#[cfg(test)]
mod tests;
mod writing;

use super::breach::{Breach, judge};
use super::{Property, Verdict};
use crate::broker::Violation;
use crate::history::{Event, History, What};

/// No acknowledged write is lost, no offset has two values or is left out, and no delivery goes
/// back, skips, or repeats what was acknowledged, beyond what the profile's documentation allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Property for Log {
    fn id(&self) -> &str {
        "log"
    }

    fn promise(&self) -> &str {
        "the broker loses no acknowledged write, gives no offset two values, and delivers as its \
         profile promises"
    }

    fn check(&self, history: &History) -> Verdict {
        let writing = writing::Writing::read(history);
        let mut breaches = writing.breaches(history);
        let mut rules = history.description.profile.model().rules();
        breaches.extend(history.events.iter().find_map(|event| {
            let violation = rules.read(event)?;
            Some(breach_at(event, history, violation))
        }));
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if writing.is_empty() {
            return Verdict::Vacuous("nothing was published".to_owned());
        }
        Verdict::Holds
    }
}

/// A breach at one position; its story is the event itself and what stands at the position.
fn breach_at<'h>(event: &'h Event, history: &'h History, violation: Violation<'_>) -> Breach<'h> {
    let Violation {
        rule,
        position,
        summary,
    } = violation;
    let written = history.events.iter().find_map(|event| match &event.what {
        What::Published {
            position: own,
            message,
        } if own == position => message.event_id(),
        _ => None,
    });
    let breach = Breach::at(event.index, summary).by_rule(rule);
    breach.and_about(written)
}
