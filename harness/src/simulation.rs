//! The simulation: one run of one plan, in virtual time.
//!
//! What it is made of is in `world`, the machines that services run on in `deployment`.

pub use crate::run::{Recording, Run, RunError, Settings};

use crate::deployment;
use crate::plan::{Plan, Targets};
use crate::system::System;
use crate::world::{logs, panics};

/// Runs a plan.
///
/// # Errors
///
/// See [`RunError`]; a broken property is not an error.
pub fn run(system: &System, plan: &Plan, recording: Recording) -> Result<Run, RunError> {
    carry_out(system, plan, recording).map(|(run, _)| run)
}

/// Runs a plan to learn what faults could aim at.
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
