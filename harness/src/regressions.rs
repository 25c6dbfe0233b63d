//! Regressions: failures that were kept as artefacts, and whose plans run before any seed is explored.
//!
//! A kept artefact is a plan that once broke a property. Its recorded history is not compared, because
//! the fix has changed what happens; what has to hold under its plan is every property. Comparing
//! histories is what a replay is for. Nothing that was kept is passed over in silence: what is of
//! another system or another engine is named.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::artefact::{Artefact, ArtefactError};
use crate::explore::Failure;
use crate::simulation::{Recording, RunError, run};
use crate::system::System;

/// Where a package keeps its failures, below the folder of its `Cargo.toml`.
pub const FOLDER: &str = "tests/regressions";

/// What the kept failures of a system showed.
#[derive(Clone, Debug)]
pub enum Regressions {
    /// Every property held under the plans of those that were run again.
    Hold(Kept),
    /// One of them breaks a property again.
    Back {
        /// The artefact.
        path: PathBuf,
        /// What it breaks.
        failure: Box<Failure>,
    },
}

/// The kept failures of a folder, as one system sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many were run again.
    pub held: u64,
    /// How many are of this system and were recorded on an engine that is not at hand.
    pub of_another_engine: u64,
    /// The other systems that some are of. A system that was renamed left them behind.
    pub of_other_systems: BTreeSet<String>,
}

/// Runs the plans of all artefacts in `folder` that are of this system and engine, in the order of
/// their names, until one breaks a property. A folder that does not exist holds none.
///
/// # Errors
///
/// If the folder, or a file in it that ends in `.json`, cannot be read by this version, or a run comes
/// to no result: a kept failure that is silently left out protects nobody.
pub fn run_again(system: &System, folder: &Path) -> Result<Regressions, ArtefactError> {
    let engine = system.engine().map_err(RunError::from)?;
    let mut kept = Kept::default();
    for path in files(folder)? {
        let artefact = Artefact::read(&path)?;
        if artefact.system != system.name() {
            kept.of_other_systems.insert(artefact.system);
            continue;
        }
        if artefact.engine != engine {
            kept.of_another_engine += 1;
            continue;
        }
        let run = run(system, &artefact.plan, Recording::On)?;
        let verdicts = system.judge(&run.history);
        if let Some(failure) = Failure::first_of(&run, &verdicts) {
            let failure = Box::new(failure);
            return Ok(Regressions::Back { path, failure });
        }
        kept.held += 1;
    }
    Ok(Regressions::Hold(kept))
}

/// The artefacts in `folder` that are of none of these systems, each with its system. Nobody runs them.
///
/// # Errors
///
/// If the folder, or a file in it that ends in `.json`, cannot be read by this version.
pub fn unclaimed(folder: &Path, systems: &[&str]) -> Result<Vec<(PathBuf, String)>, ArtefactError> {
    let mut unclaimed = Vec::new();
    for path in files(folder)? {
        let artefact = Artefact::read(&path)?;
        if !systems.contains(&&*artefact.system) {
            unclaimed.push((path, artefact.system));
        }
    }
    Ok(unclaimed)
}

/// The artefacts that a folder holds, in the order of their names.
///
/// # Errors
///
/// If the folder exists and cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ArtefactError> {
    let unreadable = |source| ArtefactError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
