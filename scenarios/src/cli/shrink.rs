//! `stormglass shrink`: the smallest plan that still breaks what an artefact's plan breaks.

use std::path::{Path, PathBuf};

use clap::Args;
use stormglass::artefact::Artefact;
use stormglass::narrate;
use stormglass::shrink::{self, to_standard_error};

use super::output::{prepare, replay_command, say};
use super::patience::Patience;
use super::replay::read;
use super::{CliError, Outcome};

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The artefact
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    patience: Patience,
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
    let progress = to_standard_error(property.clone());
    let limits = arguments.patience.limits(&progress);
    let shrunk = shrink::shrink(&system, &artefact.plan, property, &limits)?;
    let Some(shrunk) = shrunk else {
        let (file, property) = (arguments.file.display(), &artefact.property);
        say(&format!(
            "{file}: its plan does not break {property} any more"
        ))?;
        return Ok(Outcome::Holds);
    };
    Artefact::of(&system, &shrunk.run, property, &shrunk.witness).write(&path)?;
    let mut report = narrate::shrunk(&system, &artefact.plan, &shrunk, property);
    report.artefact = Some(path.display().to_string());
    report.replay_command = replay_command(&path);
    say(&report.render())?;
    Ok(Outcome::Broken)
}

/// `a.json` becomes `a.shrunk.json`.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("shrunk.json")
}
