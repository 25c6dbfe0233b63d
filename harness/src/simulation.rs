//! The simulation: one run of one plan, in virtual time.
//!
//! Reading order: `world` what all hosts share, `stops` how they end, `logs` what becomes of log lines, `panics` of
//! panics, `quiescence` and `obligations` when a run is over. The machines that services run on are in
//! `deployment`.

mod error;
pub(crate) mod logs;
mod obligations;
pub(crate) mod panics;
mod quiescence;
pub(crate) mod settings;
pub(crate) mod stops;
pub(crate) mod world;

use std::time::Duration;

pub use error::RunError;
pub use settings::{Recording, Settings};

use crate::deployment;
use crate::history::{Digest, History};
use crate::plan::{Plan, Targets};
use crate::system::System;

/// How long a fault that waits for a call is given before the run heals.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a supervisor waits before it starts a service again that ended by itself.
pub(crate) const SUPERVISOR_DELAY: Duration = Duration::from_secs(1);

/// What one run left behind.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was to happen.
    pub plan: Plan,
    /// What happened.
    pub history: History,
    /// The faults, by index in the plan, that had an effect.
    pub bitten: Vec<usize>,
    /// How much virtual time passed.
    pub elapsed: Duration,
}

impl Run {
    /// The digest of the run's history.
    pub fn digest(&self) -> Digest {
        self.history.digest()
    }
}

/// Runs a plan.
///
/// # Errors
///
/// See [`RunError`]; a broken property is not an error.
pub fn run(system: &System, plan: &Plan, recording: Recording) -> Result<Run, RunError> {
    carry_out(system, plan, recording).map(|(run, _)| run)
}

/// Runs a plan without faults to learn what faults could aim at.
pub(crate) fn survey(system: &System, plan: &Plan) -> Result<Targets, RunError> {
    carry_out(system, plan, Recording::Off).map(|(_, targets)| targets)
}

fn carry_out(
    system: &System,
    plan: &Plan,
    recording: Recording,
) -> Result<(Run, Targets), RunError> {
    warn_of_what_lacks();
    logs::keep_listening();
    panics::listen();
    system.refuse_misuse()?;
    system.fits(plan)?;
    deployment::run(system, plan, recording)
}

fn warn_of_what_lacks() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if let Some(lack) = stormglass_machine::lacks() {
        ONCE.call_once(|| eprintln!("warning: {lack}"));
    }
}
