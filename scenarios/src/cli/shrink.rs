//! `stormglass shrink`: the smallest plan that still breaks what an artefact's plan breaks.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use stormglass::artefact::Artefact;
use stormglass::check::SHRINK_RUNS_MAX;
use stormglass::narrate;
use stormglass::shrink::{self, Shrunk};

use super::output::{prepare, replay_command, say};
use super::replay::read;
use super::{CliError, Outcome};

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The artefact
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Shrinks, writes the result beside the artefact and tells its story.
pub(super) fn shrink(arguments: &Arguments) -> Result<Outcome, CliError> {
    let (artefact, system) = read(&arguments.file)?;
    let (property, named) = (&artefact.property, system.properties());
    if named.iter().all(|own| own.id() != property) {
        let (file, system) = (arguments.file.display(), system.name());
        return Err(CliError::Usage(format!(
            "artefact {file} is about `{property}`, which `{system}` is not judged by"
        )));
    }
    let path = beside(&arguments.file);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    prepare(folder.unwrap_or(Path::new(".")))?;
    let begun = Instant::now();
    let shrunk = shrink::shrink(&system, &artefact.plan, &artefact.property, SHRINK_RUNS_MAX)?;
    let Some(Shrunk {
        run,
        runs,
        one_minimal,
    }) = shrunk
    else {
        let (file, property) = (arguments.file.display(), &artefact.property);
        say(&format!(
            "{file}: its plan does not break {property} any more"
        ))?;
        return Ok(Outcome::Holds);
    };
    let verdicts = system.judge(&run.history);
    let broken = verdicts
        .iter()
        .find(|(property, _)| *property == artefact.property);
    let witness = broken
        .and_then(|(_, verdict)| verdict.witness())
        .unwrap_or(&artefact.witness);
    Artefact::of(&system, &run, &artefact.property, witness).write(&path)?;
    let mut report = narrate::failure(&system, &artefact.plan, &run, &artefact.property, witness);
    report.shrink_runs = runs as u64;
    report.shrink_ms = begun.elapsed().as_millis() as u64;
    report.one_minimal = one_minimal;
    report.artefact = Some(path.display().to_string());
    report.replay_command = replay_command(&path);
    say(&report.render())?;
    Ok(Outcome::Broken)
}

/// `a.json` becomes `a.shrunk.json`.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("shrunk.json")
}
