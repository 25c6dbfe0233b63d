//! Faults as data: what is done to the system, and the moment at which it is done.
//!
//! An incident befalls machines, links, databases, the broker or a third party, at a time or at a call. A strike
//! hits one call, and is typed to it, so that a commit which is lost at a publish cannot be
//! written. A fault holds no probability and no closure. It prints in one line, compares, and can be
//! saved.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::incident::Incident;
use super::schedule::FaultKind;
use super::strike::{Call, Strike};

/// What reports and the nemesis have to know of a fault: its kind, how long it lasts once it has begun
/// (in virtual milliseconds), and the fault in words.
pub(super) type Told = (FaultKind, u64, String);

/// One fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Virtual time in milliseconds since the start of the run. What aims at a call waits for it
    /// from then on.
    pub at_ms: u64,
    /// What happens.
    pub action: Action,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Something befalls machines, links, databases, the broker or a third party.
    Incident {
        /// What it is.
        incident: Incident,
        /// The call that sets it off; at once if none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<Aim>,
    },
    /// One call of a port is struck.
    Strike {
        /// The host whose call it is.
        host: String,
        /// Which of those calls, from one, counted from the fault's time.
        nth: u32,
        /// What becomes of it.
        strike: Strike,
    },
}

/// A call that sets an incident off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aim {
    /// The host whose call it is.
    pub host: String,
    /// Which of its ports.
    pub call: Call,
    /// Which of those calls, from one, counted from the fault's time.
    pub nth: u32,
    /// Before the call has its effect, or after it.
    pub side: Side,
}

/// Which side of a call an incident happens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The call has had no effect yet.
    Before,
    /// The call has had its effect, but the caller does not know.
    After,
}

impl Fault {
    /// An incident at a time.
    pub fn at(at_ms: u64, incident: Incident) -> Self {
        let on = None;
        let action = Action::Incident { incident, on };
        Fault { at_ms, action }
    }

    /// An incident that a call sets off, counted from a time on.
    pub fn on(at_ms: u64, aim: Aim, incident: Incident) -> Self {
        let on = Some(aim);
        let action = Action::Incident { incident, on };
        Fault { at_ms, action }
    }

    /// A strike at a host's nth call from a time on; which call it is, the strike says.
    pub fn strike(at_ms: u64, host: &str, nth: u32, strike: impl Into<Strike>) -> Self {
        let (host, strike) = (host.to_owned(), strike.into());
        let action = Action::Strike { host, nth, strike };
        Fault { at_ms, action }
    }

    fn told(&self) -> Told {
        match &self.action {
            Action::Incident { incident, .. } => incident.told(),
            Action::Strike { strike, .. } => strike.told(),
        }
    }

    /// The fault's kind.
    pub fn kind(&self) -> FaultKind {
        self.told().0
    }

    /// How long it lasts once it has begun, in virtual milliseconds.
    pub(crate) fn duration_ms(&self) -> u64 {
        self.told().1
    }

    /// What happens, in words: `commit answer lost`.
    pub fn what(&self) -> String {
        self.told().2
    }

    /// The call that it waits for: whose, which, and the how many it is.
    pub fn call(&self) -> Option<(&str, Call, u32)> {
        match &self.action {
            Action::Incident { on, .. } => on.as_ref().map(|aim| (&*aim.host, aim.call, aim.nth)),
            Action::Strike { host, nth, strike } => Some((host, strike.call(), *nth)),
        }
    }

    /// The number of the call that it waits for.
    pub(crate) fn nth_mut(&mut self) -> Option<&mut u32> {
        match &mut self.action {
            Action::Incident { on, .. } => on.as_mut().map(|aim| &mut aim.nth),
            Action::Strike { nth, .. } => Some(nth),
        }
    }

    /// The hosts that it names.
    pub(crate) fn hosts_mut(&mut self) -> Vec<&mut String> {
        match &mut self.action {
            Action::Incident { incident, on } => {
                let mut hosts = incident.hosts_mut();
                hosts.extend(on.as_mut().map(|aim| &mut aim.host));
                hosts
            }
            Action::Strike { host, .. } => vec![host],
        }
    }

    /// The call that it waits for, in words: `at commit #1 of billing`.
    pub fn moment(&self) -> Option<String> {
        let (host, call, nth) = self.call()?;
        let side = match &self.action {
            Action::Incident { on: Some(aim), .. } => match aim.side {
                Side::Before => "before",
                Side::After => "after",
            },
            Action::Incident { on: None, .. } | Action::Strike { .. } => "at",
        };
        Some(format!("{side} {call} #{nth} of {host}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = self.moment().map(|moment| format!("  {moment}"));
        let (at, moment) = (self.at_ms as f64 / 1000.0, moment.unwrap_or_default());
        write!(f, "{at:>7.3} s  {}{moment}", self.what())
    }
}
