//! The nemesis: applies the faults of a plan, and nothing but those.
//!
//! [`Armed`] holds the faults that wait for a port call; the gates ask it at every call. `timed`
//! carries out the others between ticks: on processes, the network, the broker and third parties.
//! No probability is rolled here.

mod timed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use timed::{Intervention, Nemesis};

use crate::plan::{Action, Call, Plan, Side};

/// Faults that wait for a port call.
#[derive(Default)]
pub(crate) struct Armed {
    waiting: Vec<Waiting>,
    commands: Vec<Command>,
    seen: BTreeSet<(Arc<str>, Call)>,
}

struct Waiting {
    fault: usize,
    from: Duration,
    host: String,
    call: Call,
    side: Side,
    left: u32,
    action: Action,
}

/// Something that came up during a tick and that the simulation's loop has to carry out.
pub(crate) enum Command {
    /// A port call set off a fault, given by its index in the plan.
    SetOff { fault: usize },
    /// A host's software came to an end by itself.
    Exited { host: String },
}

impl Armed {
    /// The faults of a plan that aim at a call.
    pub(crate) fn new(plan: &Plan) -> Self {
        let waiting = plan
            .schedule
            .iter()
            .enumerate()
            .filter_map(|(fault, planned)| {
                let aim = planned.trigger.call.as_ref()?;
                Some(Waiting {
                    fault,
                    from: Duration::from_millis(planned.trigger.at_ms),
                    host: aim.host.clone(),
                    call: aim.call,
                    side: aim.side,
                    left: aim.nth.max(1),
                    action: planned.action.clone(),
                })
            })
            .collect();
        Armed {
            waiting,
            ..Armed::default()
        }
    }

    /// Counts one call and says which faults strike it.
    pub(crate) fn strike(&mut self, host: &Arc<str>, call: Call, now: Duration) -> Injection {
        if !self.seen.contains(&(host.clone(), call)) {
            self.seen.insert((host.clone(), call));
        }
        let mut struck = Vec::new();
        self.waiting.retain_mut(|waiting| {
            if waiting.call != call || waiting.host != **host || now < waiting.from {
                return true;
            }
            waiting.left -= 1;
            if waiting.left == 0 {
                struck.push((waiting.fault, waiting.side, waiting.action.clone()));
            }
            waiting.left > 0
        });
        Injection { struck }
    }

    /// The ports that were called so far.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &(Arc<str>, Call)> {
        self.seen.iter()
    }

    /// Leaves a command for the simulation's loop.
    pub(crate) fn push(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// Takes what was left for the simulation's loop.
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Forgets every fault that still waits.
    pub(crate) fn disarm(&mut self) {
        self.waiting.clear();
    }
}

/// The faults that strike one call.
#[derive(Debug, Default)]
pub(crate) struct Injection {
    struck: Vec<(usize, Side, Action)>,
}

impl Injection {
    /// The faults that the port itself has to apply.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (usize, &Action)> {
        self.struck
            .iter()
            .filter(|(_, _, action)| action.is_for_the_port())
            .map(|(fault, _, action)| (*fault, action))
    }

    /// The faults that strike on one side of the call.
    pub(crate) fn of_side(&self, side: Side) -> impl Iterator<Item = (usize, &Action)> {
        self.struck
            .iter()
            .filter(move |(_, own, _)| *own == side)
            .map(|(fault, _, action)| (*fault, action))
    }
}
