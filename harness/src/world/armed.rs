//! Armed faults: those that wait for a call. The gates ask at every call whether one strikes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Handout;
use crate::message::Position;
use crate::plan::{Action, Call, CallFault, Fault, FaultKind, Incident, Plan, Side};

/// Faults that wait for a call.
#[derive(Default)]
pub(crate) struct Armed {
    waiting: Vec<Waiting>,
    /// How often each host called each port.
    calls: BTreeMap<(Arc<str>, Call), u64>,
    /// Whether some fault makes poison of what a group is handed.
    is_poisoning: bool,
    /// What each group was handed, where that matters.
    had: BTreeSet<(Arc<str>, Position)>,
    /// Keys of which a group cannot decode the next messages, the fault that makes it so, and how many
    /// are left.
    poisonous: BTreeMap<(Arc<str>, String), (usize, u32)>,
    /// What a group cannot decode, and the fault that makes it so.
    poisoned: BTreeMap<(Arc<str>, Position), usize>,
    /// Events that are too large for the broker.
    too_large: BTreeMap<String, TooLarge>,
}

/// An event that is too large for the broker.
struct TooLarge {
    fault: usize,
    until: Duration,
    /// Whether the broker has refused it.
    is_refused: bool,
}

/// Why the broker refuses an event that is too large.
pub(crate) struct Refused {
    /// The fault, by its index in the plan.
    pub(crate) fault: usize,
    /// Whether it has never done so before.
    pub(crate) is_new: bool,
}

/// Why a group cannot decode what it is handed.
pub(crate) struct Poisoned {
    /// The fault, by its index in the plan.
    pub(crate) fault: usize,
    /// Whether the group could not have known before.
    pub(crate) is_new: bool,
}

struct Waiting {
    fault: usize,
    from: Duration,
    host: String,
    call: Call,
    left: u32,
    action: Action,
}

impl Armed {
    /// The faults of a plan that aim at a call.
    pub(crate) fn new(plan: &Plan) -> Self {
        let waiting = plan
            .schedule
            .iter()
            .enumerate()
            .filter_map(|(fault, planned)| {
                let (host, call, nth) = planned.call()?;
                Some(Waiting {
                    fault,
                    from: Duration::from_millis(planned.at_ms),
                    host: host.to_owned(),
                    call,
                    left: nth.max(1),
                    action: planned.action.clone(),
                })
            })
            .collect();
        let mut kinds = plan.schedule.iter().map(Fault::kind);
        Armed {
            waiting,
            is_poisoning: kinds.any(|kind| kind == FaultKind::GroupPoison),
            ..Armed::default()
        }
    }

    /// Counts one call and says which faults strike it.
    pub(crate) fn strike<F: CallFault>(&mut self, host: &Arc<str>, now: Duration) -> Injection<F> {
        *self.calls.entry((host.clone(), F::CALL)).or_default() += 1;
        let mut injection = Injection::default();
        self.waiting.retain_mut(|waiting| {
            if waiting.call != F::CALL || waiting.host != **host || now < waiting.from {
                return true;
            }
            waiting.left -= 1;
            if waiting.left == 0 {
                injection.add(waiting.fault, &waiting.action);
            }
            waiting.left > 0
        });
        injection
    }

    /// How often each host called each port so far.
    pub(crate) fn calls(&self) -> &BTreeMap<(Arc<str>, Call), u64> {
        &self.calls
    }

    /// Makes so many messages poison for a group: this one and the next of its key, unless the group has
    /// had this one before.
    pub(crate) fn poison(&mut self, group: &Arc<str>, first: &Handout, fault: usize, events: u32) {
        if !self.had.contains(&(group.clone(), first.position.clone())) {
            let entity = (group.clone(), first.message.key.clone());
            self.poisonous.entry(entity).or_insert((fault, events));
        }
    }

    /// The fault because of which a group cannot decode what it is handed now.
    pub(crate) fn poisoned(&mut self, group: &Arc<str>, handout: &Handout) -> Option<Poisoned> {
        if !self.is_poisoning {
            return None;
        }
        let message = (group.clone(), handout.position.clone());
        if let Some(&fault) = self.poisoned.get(&message) {
            let is_new = false;
            return Some(Poisoned { fault, is_new });
        }
        let entity = (group.clone(), handout.message.key.clone());
        let is_first = self.had.insert(message.clone());
        let (fault, left) = self.poisonous.get_mut(&entity)?;
        // What a group could decode once does not change any more.
        if !is_first || *left == 0 {
            return None;
        }
        *left -= 1;
        self.poisoned.insert(message, *fault);
        let (fault, is_new) = (*fault, true);
        Some(Poisoned { fault, is_new })
    }

    /// Makes an event too large for the broker for a time.
    pub(crate) fn make_too_large(&mut self, event_id: &str, fault: usize, until: Duration) {
        let too_large = TooLarge {
            fault,
            until,
            is_refused: false,
        };
        self.too_large
            .entry(event_id.to_owned())
            .or_insert(too_large);
    }

    /// Whether an event that is published now is too large.
    pub(crate) fn refused(&mut self, event_id: Option<&str>, now: Duration) -> Option<Refused> {
        let too_large = self.too_large.get_mut(event_id?)?;
        let fault = too_large.fault;
        let is_new = !std::mem::replace(&mut too_large.is_refused, true);
        (now < too_large.until).then_some(Refused { fault, is_new })
    }

    /// Forgets every fault that still waits, and lifts those that would last.
    pub(crate) fn disarm(&mut self) {
        self.waiting.clear();
        self.too_large.clear();
    }
}

/// What befalls one call.
#[derive(Debug)]
pub(crate) struct Injection<F> {
    strikes: Vec<(usize, F)>,
    incidents: Vec<(usize, Side, Incident)>,
}

impl<F> Default for Injection<F> {
    fn default() -> Self {
        Injection {
            strikes: Vec::new(),
            incidents: Vec::new(),
        }
    }
}

impl<F: CallFault> Injection<F> {
    /// Whether nothing befalls the call.
    pub(crate) fn is_nothing(&self) -> bool {
        self.strikes.is_empty() && self.incidents.is_empty()
    }

    fn add(&mut self, fault: usize, action: &Action) {
        match action {
            Action::Strike { strike, .. } => {
                let strike = F::of(strike).cloned();
                self.strikes.extend(strike.map(|strike| (fault, strike)));
            }
            Action::Incident { incident, on } => {
                let side = on.as_ref().map(|aim| aim.side);
                let incident = side.map(|side| (fault, side, incident.clone()));
                self.incidents.extend(incident);
            }
        }
    }

    /// What the port itself has to do to the call, each with its fault's index in the plan.
    pub(crate) fn strikes(&self) -> impl Iterator<Item = (usize, &F)> {
        self.strikes.iter().map(|(fault, strike)| (*fault, strike))
    }

    /// What happens on one side of the call.
    pub(crate) fn of_side(&self, side: Side) -> impl Iterator<Item = (usize, &Incident)> {
        let incidents = self.incidents.iter();
        let own = incidents.filter(move |(_, own, _)| *own == side);
        own.map(|(fault, _, incident)| (*fault, incident))
    }
}
