//! One host's circuit, as how its publishes ended lets it be known.
//!
//! It errs towards closed. A publish that may have begun before the circuit last changed counts as a success if it was one,
//! and not at all if it failed; so the real breaker has opened wherever this one has, at most one publish's time earlier.

use std::collections::VecDeque;
use std::time::Duration;

use super::{BreakerNumbers, breach};
use crate::checker::breach::Breach;
use crate::history::{Event, Fact, What};

/// What is known of a host's circuit.
pub(super) struct Circuit<'h> {
    host: &'h str,
    numbers: BreakerNumbers,
    state: State,
    /// How publishes of the window ended: when, whether well, and whether they began since the last change for certain.
    ended: VecDeque<(Duration, Ended)>,
    /// Until when what ends may have begun before the last change.
    unsure_until: Duration,
    /// The last announcement of the host's own, made when a probe was due and none has come since.
    unanswered: Option<(Duration, &'h str)>,
    /// Whether the host announces events itself, and so publishes them itself.
    announces: bool,
    pub(super) has_tripped: bool,
}

enum State {
    Closed,
    Open(Opening),
    HalfOpen(Opening),
}

/// How a circuit opened, and how it was tried.
#[derive(Clone, Copy)]
struct Opening {
    /// When it opened, and the event that shows it.
    at: Duration,
    index: u64,
    /// The probes that ended: of the try that failed, as long as it is open, and then of the next one.
    probes: u32,
    succeeded: u32,
    /// When a probe may come, or when the last one ended.
    due: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    Badly,
    /// Well, and perhaps not counted.
    PerhapsWell,
}

impl<'h> Circuit<'h> {
    pub(super) fn new(host: &'h str, numbers: BreakerNumbers) -> Self {
        Circuit {
            host,
            numbers,
            state: State::Closed,
            ended: VecDeque::new(),
            unsure_until: Duration::ZERO,
            unanswered: None,
            announces: false,
            has_tripped: false,
        }
    }

    /// Takes an event of the host into account.
    pub(super) fn read(&mut self, event: &'h Event, too_large: &[&str]) -> Option<Breach<'h>> {
        let is_too_large = |id: &Option<String>| {
            let id = id.as_deref();
            id.is_some_and(|id| too_large.contains(&id))
        };
        match &event.what {
            What::PublishAcknowledged { event_id, .. } => {
                self.ends(event, event_id.as_deref(), Ended::Well)
            }
            What::PublishRejected { event_id, .. } if is_too_large(event_id) => {
                self.ends(event, event_id.as_deref(), Ended::Well)
            }
            What::PublishRejected { event_id, .. } | What::PublishUnknown { event_id, .. } => {
                self.ends(event, event_id.as_deref(), Ended::Badly)
            }
            // A new process has published nothing, so that nothing of it was under way before.
            What::HostStarted { .. } => {
                *self = Circuit {
                    has_tripped: self.has_tripped,
                    announces: self.announces,
                    ..Circuit::new(self.host, self.numbers)
                };
                None
            }
            What::HostCrashed
            | What::HostStopping { .. }
            | What::HostStopped { .. }
            | What::HostExited { .. } => {
                self.changes(event.at);
                self.state = State::Closed;
                None
            }
            What::HostPaused { until } => {
                self.changes(*until);
                self.state = State::Closed;
                None
            }
            What::Observed {
                fact: Fact::Announced(own),
                ..
            } => {
                self.announces = true;
                if self.unanswered.is_none() && self.due_before(event.at).is_some() {
                    self.unanswered = Some((event.at, &own.event_id));
                }
                None
            }
            _ => None,
        }
    }

    /// How far it is open: 0 closed, 1 half open, 2 open.
    pub(super) fn openness(&self) -> u64 {
        match self.state {
            State::Closed => 0,
            State::HalfOpen(_) => 1,
            State::Open(_) => 2,
        }
    }

    /// A publish of the host has ended.
    fn ends(
        &mut self,
        event: &'h Event,
        about: Option<&'h str>,
        ended: Ended,
    ) -> Option<Breach<'h>> {
        self.unanswered = None;
        match self.state {
            State::Closed => {
                self.count(event, ended);
                None
            }
            State::Open(opening) => {
                let (since, numbers) = (event.at.saturating_sub(opening.at), self.numbers);
                if since <= numbers.publish_max {
                    self.ends_late(event, about, opening)
                } else if since + numbers.publish_max < numbers.open_for {
                    Some(self.attempted(event, about, since))
                } else {
                    let next_try = Opening {
                        probes: 0,
                        succeeded: 0,
                        ..opening
                    };
                    self.probed(event, about, ended, next_try)
                }
            }
            State::HalfOpen(opening) => self.probed(event, about, ended, opening),
        }
    }

    /// It was under way when the circuit opened: together with a probe that failed before it, if there was one.
    fn ends_late(
        &mut self,
        event: &Event,
        about: Option<&'h str>,
        opening: Opening,
    ) -> Option<Breach<'h>> {
        let probes = opening.probes + u32::from(opening.probes > 0);
        self.state = State::Open(Opening { probes, ..opening });
        self.stampede(event, about, probes)
    }

    fn probed(
        &mut self,
        event: &Event,
        about: Option<&'h str>,
        ended: Ended,
        opening: Opening,
    ) -> Option<Breach<'h>> {
        let probes = opening.probes + 1;
        let succeeded = opening.succeeded + u32::from(ended != Ended::Badly);
        if ended == Ended::Badly {
            self.opens(event, probes);
        } else if succeeded >= self.numbers.probes.max(1) {
            self.changes(event.at);
            self.state = State::Closed;
        } else {
            let due = event.at;
            self.state = State::HalfOpen(Opening {
                probes,
                succeeded,
                due,
                ..opening
            });
        }
        self.stampede(event, about, probes)
    }

    fn attempted(&self, event: &Event, about: Option<&'h str>, since: Duration) -> Breach<'h> {
        let (host, seconds) = (self.host, since.as_secs_f64());
        let summary = format!("{host} published {seconds:.1} s after its circuit had opened");
        breach("attempted-while-open", event.index, about, summary)
    }

    fn stampede(&self, event: &Event, about: Option<&'h str>, probes: u32) -> Option<Breach<'h>> {
        let most = self.numbers.probes.max(1);
        (probes > most).then(|| {
            let host = self.host;
            let summary =
                format!("{host} tried its half-open circuit with more than {most} publishes");
            breach("stampede", event.index, about, summary)
        })
    }

    fn count(&mut self, event: &Event, ended: Ended) {
        let now = event.at;
        match ended {
            Ended::Badly if now <= self.unsure_until => return,
            Ended::Badly => self.ended.push_back((now, Ended::Badly)),
            _ if now <= self.unsure_until => self.ended.push_back((now, Ended::PerhapsWell)),
            _ => self.ended.push_back((now, Ended::Well)),
        }
        let window = self.numbers.window;
        self.ended
            .retain(|(at, _)| now.saturating_sub(*at) <= window);
        let number = |wanted: &[Ended]| {
            let of_those = self.ended.iter().filter(|(_, own)| wanted.contains(own));
            of_those.count()
        };
        let (failed, sure) = (
            number(&[Ended::Badly]),
            number(&[Ended::Badly, Ended::Well]),
        );
        let trips = failed * 100 >= self.ended.len() * self.numbers.trip_percent;
        if sure >= self.numbers.minimum_volume.max(1) && trips {
            self.opens(event, 0);
        }
    }

    fn opens(&mut self, event: &Event, probes: u32) {
        self.has_tripped = true;
        self.changes(event.at);
        self.state = State::Open(Opening {
            at: event.at,
            index: event.index,
            probes,
            succeeded: 0,
            due: event.at + self.numbers.open_for,
        });
    }

    fn changes(&mut self, at: Duration) {
        self.ended.clear();
        self.unanswered = None;
        self.unsure_until = self.unsure_until.max(at + self.numbers.publish_max);
    }

    /// How the circuit opened that a probe has been due for since before `now`.
    fn due_before(&self, now: Duration) -> Option<Opening> {
        match self.state {
            State::Closed => None,
            State::Open(opening) | State::HalfOpen(opening) => {
                Some(opening).filter(|opening| opening.due < now)
            }
        }
    }

    /// The breach of a circuit that is not closed at the end, though there was something to try it with: an event of the
    /// host's own, or, where the host publishes for others, one that nobody has published.
    pub(super) fn stuck(&self, last: &'h Event, owed: Option<&'h str>) -> Option<Breach<'h>> {
        let numbers = self.numbers;
        let patience = numbers.open_for + numbers.publish_max;
        let opening = self.due_before(last.at.saturating_sub(patience))?;
        let about = match (self.unanswered, owed) {
            (Some((since, id)), _) if since + numbers.publish_max < last.at => id,
            (None, Some(id)) if !self.announces => id,
            _ => return None,
        };
        let (host, seconds) = (self.host, opening.at.as_secs_f64());
        let summary =
            format!("the circuit of {host} opened at {seconds:.1} s and was not tried again");
        let breach = breach("stuck-open", last.index, Some(about), summary);
        Some(breach.inevitable_from(opening.index))
    }
}
