//! `breaker`: a circuit breaker on the publish path opens, lets the broker alone, and closes again.
//!
//! Judged is what the history shows of a host's publishes. The breaker itself is not asked: what it has to do follows from
//! how the publishes ended, and where that leaves doubt (a publish that was under way when the circuit opened ends later,
//! one that a pause held up says little) the host is not accused. That it opens at all is its own affair.

mod circuit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::breach::{Breach, judge};
use super::withheld::Withheld;
use super::{Figure, Property, Verdict};
use crate::history::{Event, Fact, History, What};
use circuit::Circuit;

/// How a service's breaker is set. All times are virtual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerNumbers {
    /// How long how a publish ended counts.
    pub window: Duration,
    /// Of how few publishes in the window nothing is concluded.
    pub minimum_volume: usize,
    /// Of a hundred publishes in the window, how many have to fail for it to open.
    pub trip_percent: usize,
    /// How long it stays open: more than twice `recorded_within`, or nothing can be told.
    pub open_for: Duration,
    /// How many publishes it admits before it closes again.
    pub probes: u32,
    /// How long one publish takes at most, its client's timeout included.
    pub publish_max: Duration,
    /// How long after a publish began its end is recorded at most, if there was a connection: `publish_max` where the client
    /// records it, the way to the broker where a server does, as for NATS.
    pub recorded_within: Duration,
    /// Whether its client keeps what it is given without a connection, and sends that when it has one again, however long ago
    /// its caller gave up, as `async-nats` does. Then nothing is concluded from what comes right after an outage.
    pub keeps_unsent: bool,
}

/// While the breaker of a service's host is open, no publish is attempted; half open, no more than so many; and it
/// closes once the broker works again.
#[derive(Clone, Debug)]
pub struct Breaker {
    service: String,
    numbers: BreakerNumbers,
}

impl Breaker {
    /// Each instance of `service` publishes through a breaker that is set so.
    #[must_use]
    pub fn of(service: &str, numbers: BreakerNumbers) -> Self {
        Breaker {
            service: service.to_owned(),
            numbers,
        }
    }

    /// Reads a history, and tells of each event of an instance what that makes of its circuit. Gives all circuits at the end.
    fn follow<'h>(
        &self,
        history: &'h History,
        mut tell: impl FnMut(&'h Event, &Circuit<'h>, Option<Breach<'h>>),
    ) -> (BTreeMap<&'h str, Circuit<'h>>, Reading<'h>) {
        let mut circuits: BTreeMap<&str, Circuit<'_>> = BTreeMap::new();
        let mut reading = Reading::default();
        let servers = &history.description.servers;
        for event in &history.events {
            if let What::HostStarted { incarnation } = event.what {
                let is_restart = incarnation > 1 && servers.contains(&*event.host);
                reading.restarts += usize::from(is_restart);
            }
            reading.read(event);
            if self.is_instance(&event.host) {
                let circuit = circuits.entry(&event.host);
                let circuit = circuit.or_insert_with(|| Circuit::new(&event.host, self.numbers));
                let breach = circuit.read(event, &reading);
                tell(event, circuit, breach);
            }
        }
        (circuits, reading)
    }

    fn is_instance(&self, host: &str) -> bool {
        let rest = host.strip_prefix(&*self.service);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

impl Property for Breaker {
    fn id(&self) -> &str {
        "breaker"
    }

    fn promise(&self) -> &str {
        "while a circuit is open no publish is attempted, then a few, and it closes when the broker works again"
    }

    fn check(&self, history: &History) -> Verdict {
        let mut breaches = Vec::new();
        let (mut circuits, reading) = self.follow(history, |_, _, breach| breaches.extend(breach));
        if let Some(last) = history.events.last() {
            let owed = reading.owed(&Withheld::of(history));
            let stuck = circuits
                .values_mut()
                .filter_map(|circuit| circuit.stuck(last, owed));
            breaches.extend(stuck);
        }
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if !circuits.values().any(|circuit| circuit.has_tripped) {
            return Verdict::Vacuous("no circuit had to open".to_owned());
        }
        Verdict::Holds
    }

    /// The state of each circuit that had to open.
    fn figures(&self, history: &History) -> Vec<Figure> {
        let mut figures: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        self.follow(history, |event, circuit, _| {
            let points = figures.entry(&event.host).or_default();
            if points.last().map_or(0, |(_, state)| *state) != circuit.openness() {
                points.push((event.index, circuit.openness()));
            }
        });
        let figures = figures.into_iter().filter(|(_, points)| !points.is_empty());
        let figure = |(host, points)| Figure {
            title: format!("circuit of {host}"),
            unit: "0 closed, 1 half open, 2 open",
            points,
        };
        figures.map(figure).collect()
    }
}

/// What is known of all events while the history is read.
#[derive(Default)]
struct Reading<'h> {
    /// How often a server has come back.
    restarts: usize,
    /// Events whose refusal says that the broker works.
    too_large: Vec<&'h str>,
    /// Announced events that are not published, and where they were announced.
    unpublished: BTreeMap<&'h str, u64>,
}

impl<'h> Reading<'h> {
    fn read(&mut self, event: &'h Event) {
        match &event.what {
            What::MadeTooLarge { event_id, .. } => self.too_large.push(event_id),
            What::Observed {
                fact: Fact::Announced(own),
                ..
            } => {
                self.unpublished.insert(&own.event_id, event.index);
            }
            What::Published { message, .. } => {
                if let Some(id) = message.event_id() {
                    self.unpublished.remove(id);
                }
            }
            _ => {}
        }
    }

    /// The first event that somebody still has to publish.
    fn owed(&self, withheld: &Withheld<'_>) -> Option<&'h str> {
        let owed = self
            .unpublished
            .iter()
            .filter(|(id, _)| !withheld.excuses(id));
        owed.min_by_key(|(_, index)| **index).map(|(id, _)| *id)
    }
}

/// A breach at one host.
fn breach<'h>(
    rule: &'static str,
    index: u64,
    about: Option<&'h str>,
    summary: String,
) -> Breach<'h> {
    Breach::at(index, summary).by_rule(rule).and_about(about)
}
