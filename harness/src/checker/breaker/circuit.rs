//! One host's circuit, as how its publishes ended lets it be known.
//!
//! It errs towards closed. A publish that may have begun before the circuit last changed counts as a success if it was one,
//! and not at all if it failed. One whose answer was lost counts when its client has given up for certain, because a broker
//! that records it cannot tell when that is. Where it is not known whether the circuit is open, a success may be a probe's, which
//! the real breaker forgets when it closes. So the real breaker has opened wherever this one has, and not much earlier:
//! [`Opening`] says by how much at most.

use std::collections::VecDeque;
use std::time::Duration;

use super::{BreakerNumbers, Reading, breach};
use crate::checker::breach::Breach;
use crate::history::{Event, Fact, What};

/// What is known of a host's circuit.
pub(super) struct Circuit<'h> {
    host: &'h str,
    numbers: BreakerNumbers,
    state: State,
    /// How publishes of the window ended: when, whether well, and whether they began since the last change for certain.
    ended: VecDeque<(Duration, Ended)>,
    /// Publishes whose answer was lost, and whose client may still be waiting: when, and the event that tells of it.
    unheard: VecDeque<(Duration, u64)>,
    /// Until when what ends may have begun before the last change.
    unsure_until: Duration,
    /// How many successes in a row have to come before it is closed for certain.
    to_close: u32,
    /// How often a server had come back when the last publish ended.
    restarts: usize,
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
    /// When it was open for certain, and the event that shows it.
    at: Duration,
    index: u64,
    /// How much earlier it may have opened.
    doubt: Duration,
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
    /// Badly, and its client knows of it at most a publish's time later.
    Unheard,
    /// Well, and perhaps not counted.
    PerhapsWell,
}

impl Ended {
    fn is_well(self) -> bool {
        matches!(self, Ended::Well | Ended::PerhapsWell)
    }
}

impl<'h> Circuit<'h> {
    pub(super) fn new(host: &'h str, numbers: BreakerNumbers) -> Self {
        Circuit {
            host,
            numbers,
            state: State::Closed,
            ended: VecDeque::new(),
            unheard: VecDeque::new(),
            unsure_until: Duration::ZERO,
            to_close: 0,
            restarts: 0,
            unanswered: None,
            announces: false,
            has_tripped: false,
        }
    }

    /// Takes an event of the host into account.
    pub(super) fn read(&mut self, event: &'h Event, known: &Reading<'h>) -> Option<Breach<'h>> {
        self.gives_up(event.at);
        let is_too_large = |id: &Option<String>| {
            let id = id.as_deref();
            id.is_some_and(|id| known.too_large.contains(&id))
        };
        let ends_publish = matches!(
            event.what,
            What::PublishAcknowledged { .. }
                | What::PublishRejected { .. }
                | What::PublishUnknown { .. }
        );
        if ends_publish && self.restarts < known.restarts {
            self.restarts = known.restarts;
            if self.numbers.keeps_unsent {
                self.forgets(event.at);
            }
        }
        match &event.what {
            What::PublishAcknowledged { event_id, .. } => {
                self.ends(event, event_id.as_deref(), Ended::Well)
            }
            What::PublishRejected { event_id, .. } if is_too_large(event_id) => {
                self.ends(event, event_id.as_deref(), Ended::Well)
            }
            What::PublishRejected { event_id, .. } => {
                self.ends(event, event_id.as_deref(), Ended::Badly)
            }
            What::PublishUnknown { event_id, .. } => {
                self.ends(event, event_id.as_deref(), Ended::Unheard)
            }
            // A new process has published nothing, so that nothing of it was under way before.
            What::HostStarted { .. } => {
                *self = Circuit {
                    has_tripped: self.has_tripped,
                    announces: self.announces,
                    restarts: self.restarts,
                    ..Circuit::new(self.host, self.numbers)
                };
                None
            }
            What::HostCrashed
            | What::HostStopping { .. }
            | What::HostStopped { .. }
            | What::HostExited { .. } => {
                self.forgets(event.at);
                None
            }
            What::HostPaused { until } => {
                self.forgets(*until);
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
        let numbers = self.numbers;
        match self.state {
            State::Closed if ended == Ended::Unheard => {
                self.unheard.push_back((event.at, event.index));
                None
            }
            State::Closed => {
                self.count(event.at, ended);
                self.trips(event.at, event.index, Duration::ZERO);
                None
            }
            State::Open(opening) => {
                let was_under_way = event.at <= opening.at + numbers.recorded_within;
                let may_be_a_probe = event.at + opening.doubt >= opening.at + numbers.open_for;
                match (was_under_way, may_be_a_probe) {
                    (true, false) => self.ends_late(event, about, opening),
                    (false, false) => Some(self.attempted(event, about, opening)),
                    (false, true) => {
                        let next_try = Opening {
                            probes: 0,
                            succeeded: 0,
                            ..opening
                        };
                        self.probed(event, about, ended, next_try)
                    }
                    (true, true) => {
                        self.forgets(event.at);
                        None
                    }
                }
            }
            State::HalfOpen(opening) => self.probed(event, about, ended, opening),
        }
    }

    /// Nobody waits any more for the answers that were lost so long ago.
    fn gives_up(&mut self, now: Duration) {
        let patience = self.numbers.publish_max;
        while let Some((at, index)) = self.unheard.pop_front_if(|(at, _)| *at + patience <= now) {
            self.count(at, Ended::Badly);
            self.trips(at + patience, index, patience);
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
        let succeeded = opening.succeeded + u32::from(ended.is_well());
        if !ended.is_well() {
            let patience = match ended {
                Ended::Unheard => self.numbers.publish_max,
                _ => Duration::ZERO,
            };
            self.opens(event.at + patience, event.index, patience, probes);
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

    fn attempted(&self, event: &Event, about: Option<&'h str>, opening: Opening) -> Breach<'h> {
        let (host, seconds) = (self.host, (event.at - opening.at).as_secs_f64());
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

    fn count(&mut self, at: Duration, ended: Ended) {
        let is_sure = at > self.unsure_until;
        match ended {
            Ended::Well if is_sure && self.to_close == 0 => self.ended.push_back((at, Ended::Well)),
            Ended::Well => {
                self.to_close = self.to_close.saturating_sub(1);
                self.ended.push_back((at, Ended::PerhapsWell));
            }
            _ => {
                if self.to_close > 0 {
                    self.to_close = self.numbers.probes;
                }
                if is_sure {
                    self.ended.push_back((at, Ended::Badly));
                }
            }
        }
    }

    /// Opens it if enough has failed by now, of which the last may have been known for so long already.
    fn trips(&mut self, now: Duration, index: u64, doubt: Duration) {
        let (window, publish_max) = (self.numbers.window, self.numbers.publish_max);
        let since = |at: &Duration| now.saturating_sub(*at);
        self.ended
            .retain(|(at, _)| since(at) <= window + publish_max);
        let within = |span: Duration, wanted: fn(Ended) -> bool| {
            let of_those = self.ended.iter();
            let of_those = of_those.filter(|(at, ended)| wanted(*ended) && since(at) <= span);
            of_those.count()
        };
        let failed = within(window, |ended| !ended.is_well());
        let sure = failed + within(window, |ended| ended == Ended::Well);
        // What was still in the window when the last failure was known speaks against it.
        let of_all = failed + within(window + doubt, Ended::is_well);
        if sure >= self.numbers.minimum_volume.max(1)
            && failed * 100 >= of_all * self.numbers.trip_percent
        {
            self.opens(now, index, doubt, 0);
        }
    }

    /// It is open at a time for certain, since one of the failures before it, of which the last was known so long before.
    fn opens(&mut self, at: Duration, index: u64, doubt: Duration, probes: u32) {
        self.has_tripped = true;
        self.changes(at);
        self.state = State::Open(Opening {
            at,
            index,
            doubt: doubt + self.numbers.recorded_within,
            probes,
            succeeded: 0,
            due: at + self.numbers.open_for,
        });
    }

    fn changes(&mut self, at: Duration) {
        self.ended.clear();
        self.unheard.clear();
        self.unanswered = None;
        self.unsure_until = self.unsure_until.max(at + self.numbers.recorded_within);
        self.to_close = 0;
    }

    /// Nothing can be told of it any more but that it may be closed.
    fn forgets(&mut self, at: Duration) {
        self.changes(at);
        self.state = State::Closed;
        self.to_close = self.numbers.probes;
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
    pub(super) fn stuck(&mut self, last: &'h Event, owed: Option<&'h str>) -> Option<Breach<'h>> {
        self.gives_up(last.at);
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
