//! The world of one run: what outlives a host's crash, and the gate through which a host's calls pass.
//!
//! Reading order: `recorder` writes the history, `quiescence` and `obligations` follow from it when a run is over; `hosts`
//! says who is up, pauses and stops; `armed` are the faults that wait for a call, `conditions` what befalls products and
//! links; `commands` wait for whoever drives the run; `gate` is one incarnation of a host. `logs` and `panics` are what
//! services say.
//!
//! One thread of a run works at a time, so that the mutexes are never contended. No guard lives across an `.await`.

pub(crate) mod armed;
mod commands;
mod conditions;
mod gate;
mod hosts;
pub(crate) mod logs;
mod obligations;
pub(crate) mod panics;
mod quiescence;
mod recorder;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use armed::{Armed, Injection, Refused};
pub(crate) use commands::{Command, Commands};
pub(crate) use conditions::{CapacityLimit, Conditions, State, StruckLink};
pub(crate) use gate::Gate;
pub(crate) use hosts::{GRACE, Hosts};
pub(crate) use recorder::Recorder;

use crate::broker;
use crate::plan::Targets;

/// What all hosts of one run share.
pub(crate) struct World {
    /// What happens enters the history here.
    pub(crate) recorder: Arc<Recorder>,
    /// Who is up.
    pub(crate) hosts: Hosts,
    /// What befalls products and links.
    pub(crate) conditions: Conditions,
    /// The faults that wait for a call.
    pub(crate) armed: Mutex<Armed>,
    /// What whoever drives the run has to do.
    pub(crate) commands: Arc<Commands>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Virtual time since the start of the run.
pub(crate) fn now() -> Duration {
    stormglass_machine::elapsed().unwrap_or_default()
}

impl World {
    pub(crate) fn new(recorder: Recorder, armed: Armed, commands: Commands) -> Self {
        let (recorder, commands) = (Arc::new(recorder), Arc::new(commands));
        World {
            hosts: Hosts::new(recorder.clone(), commands.clone()),
            recorder,
            conditions: Conditions::default(),
            armed: Mutex::new(armed),
            commands,
        }
    }

    /// The world that the current thread belongs to, and its host; `None` if that is down, because what destructors of a
    /// crashed process say was never said.
    pub(crate) fn here() -> Option<(Arc<World>, Arc<str>)> {
        let host = stormglass_machine::living_host()?;
        let world = stormglass_machine::attached::<World>()?;
        world.hosts.is_up(&host).then_some((world, host))
    }

    /// The gate of a host's next incarnation, which is up from now on.
    pub(crate) fn start(self: &Arc<Self>, host: &Arc<str>) -> Gate {
        let (incarnation, state) = self.hosts.start(host);
        Gate {
            world: self.clone(),
            host: host.clone(),
            incarnation,
            state,
        }
    }

    /// The gate of a host's present incarnation.
    pub(crate) fn gate_of(self: &Arc<Self>, host: &Arc<str>) -> Option<Gate> {
        let state = self.hosts.state_of(host)?;
        let incarnation = lock(&state).incarnation();
        Some(Gate {
            world: self.clone(),
            host: host.clone(),
            incarnation,
            state,
        })
    }

    /// What faults could aim at, judging by the calls that were made so far; of machines and links the world knows
    /// nothing.
    pub(crate) fn targets(&self) -> Targets {
        let armed = lock(&self.armed);
        let calls = armed
            .calls()
            .keys()
            .filter(|(host, _)| **host != *broker::HOST);
        let calls = calls.map(|(host, call)| (host.to_string(), *call));
        Targets {
            calls: calls.collect(),
            groups: self.recorder.groups(),
            ..Targets::default()
        }
    }
}
