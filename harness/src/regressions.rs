//! Regressions: failures that were kept as artefacts, and whose plans run before any seed is explored.
//!
//! A kept artefact is a plan that once broke a property. Its recorded history is not compared, because
//! the fix has changed what happens; what has to hold under its plan is every property. Comparing
//! histories is what a replay is for.

use std::path::{Path, PathBuf};

use crate::artefact::{Artefact, ArtefactError};
use crate::explore::Failure;
use crate::simulation::{Recording, run};
use crate::system::System;

/// Where a package keeps its failures, below the folder of its `Cargo.toml`.
pub const FOLDER: &str = "tests/regressions";

/// What the kept failures of a system showed.
#[derive(Clone, Debug)]
pub enum Regressions {
    /// So many were run again, and every property held.
    Hold(u64),
    /// One of them breaks a property again.
    Back {
        /// The artefact.
        path: PathBuf,
        /// What it breaks.
        failure: Box<Failure>,
    },
}

/// Runs the plans of all artefacts in `folder` that are of this system, in the order of their names,
/// until one breaks a property. A folder that does not exist holds none.
///
/// # Errors
///
/// If a file that ends in `.json` is not an artefact that this version can read, or a run comes to
/// no result: a kept failure that is silently left out protects nobody.
pub fn run_again(system: &System, folder: &Path) -> Result<Regressions, ArtefactError> {
    let mut count = 0;
    for path in files(folder) {
        let artefact = Artefact::read(&path)?;
        if artefact.system != system.name() {
            continue;
        }
        let run = run(system, &artefact.plan, Recording::On)?;
        let verdicts = system.judge(&run.history);
        if let Some(failure) = Failure::first_of(&run, &verdicts) {
            let failure = Box::new(failure);
            return Ok(Regressions::Back { path, failure });
        }
        count += 1;
    }
    Ok(Regressions::Hold(count))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    files
}
