//! `stormglass replay`: an artefact again, event by event.

use std::path::PathBuf;

use clap::Args;
use stormglass::artefact::{Artefact, Replay};
use stormglass::{System, narrate};

use super::output::say;
use super::run::DETAILS;
use super::selection::advice;
use super::{CliError, Outcome};
use crate::catalogue::Scenario;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The artefact
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Replays, compares and shows what happened.
pub(super) fn replay(arguments: &Arguments) -> Result<Outcome, CliError> {
    let (artefact, system) = read(&arguments.file)?;
    match artefact.replay(&system)? {
        Replay::Diverged(divergence) => {
            say(&format!("{}: {divergence}", arguments.file.display()))?;
            Ok(Outcome::NotDeterministic)
        }
        Replay::Same(run) => {
            let verdicts = system.judge(&run.history);
            let timeline = narrate::timeline(&system, &run, &verdicts);
            let same = format!(
                "same history as recorded: {} events",
                run.history.events.len()
            );
            say(&format!(
                "{}\n\n{same}, digest {}",
                timeline.render_without(DETAILS),
                artefact.digest
            ))?;
            // What the run does not put to the test is no reason to doubt the replay.
            Ok(match Outcome::of(&verdicts) {
                Outcome::Broken => Outcome::Broken,
                _ => Outcome::Holds,
            })
        }
    }
}

/// An artefact and the scenario's system that it is of.
pub(super) fn read(file: &std::path::Path) -> Result<(Artefact, System), CliError> {
    let artefact = Artefact::read(file)?;
    let (scenario, broker) = Scenario::of_system(&artefact.system).ok_or_else(|| {
        let (file, system) = (file.display(), &artefact.system);
        CliError::Usage(format!(
            "artefact {file} is of `{system}`, which is no scenario here: {}",
            advice(system)
        ))
    })?;
    // It is replayed where it was recorded, whatever the environment says.
    let system = scenario.system_on(broker).on(artefact.engine);
    artefact.fits(&system)?;
    Ok((artefact, system))
}
