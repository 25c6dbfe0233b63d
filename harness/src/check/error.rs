//! Why a check failed: a verdict, too little evidence, a use that cannot be meant, or no result.

use std::path::PathBuf;

use stormglass_reports::{FailureReport, Panics};

use crate::artefact::{ArtefactError, Divergence};
use crate::checker::Witness;
use crate::explore::ExploreError;
use crate::simulation::RunError;

/// What a failed check says. Its text is what [`System::check`](crate::System::check) panics with.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A seed broke a property.
    #[error("\n\n{0}")]
    Broken(Box<FailureReport>),
    /// A kept failure breaks a property again.
    #[error("\n\nthe kept failure {path} is back\n\n{report}", path = path.display())]
    Back {
        /// The artefact.
        path: PathBuf,
        /// What it breaks.
        report: Box<FailureReport>,
    },
    /// A replayed artefact breaks a property, as it did when it was saved.
    #[error(
        "{system}: replayed {path}, same digest {digest}; {property} broken: {witness}",
        path = path.display()
    )]
    Replayed {
        /// The system.
        system: String,
        /// The artefact.
        path: PathBuf,
        /// The digest of both runs.
        digest: String,
        /// The property.
        property: String,
        /// The proof.
        witness: Box<Witness>,
    },
    /// No seed put some properties to the test.
    #[error(
        "{system}: {} never put to the test: {}. If that is not how the system is described, \
         explore more seeds (STORMGLASS_SEEDS), allow more kinds of fault, or drop the property.{}",
        explored(*seeds),
        told(untested),
        panics.iter().map(|panics| format!("\n  {panics}")).collect::<String>()
    )]
    Vacuous {
        /// The system.
        system: String,
        /// How many seeds were explored.
        seeds: u64,
        /// The properties, each with what was missing.
        untested: Vec<(String, String)>,
        /// Where services panicked meanwhile, which may be why.
        panics: Vec<Panics>,
    },
    /// What is asked for cannot be meant.
    #[error("{system}: {what}")]
    Misuse {
        /// The system.
        system: String,
        /// What was wrong, and what to do.
        what: String,
    },
    /// A replay took another course than what was recorded.
    #[error("{system}: {divergence}")]
    Diverged {
        /// The system.
        system: String,
        /// Where.
        divergence: Box<Divergence>,
    },
    /// There is no result, and no verdict on the system.
    #[error("{system}: {why}")]
    NoResult {
        /// The system.
        system: String,
        /// Why.
        #[source]
        why: Box<NoResult>,
    },
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum NoResult {
    /// A seed.
    #[error(transparent)]
    Explore(#[from] ExploreError),
    /// An artefact.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// A run while a failure was shrunk.
    #[error(transparent)]
    Run(#[from] RunError),
}

fn explored(seeds: u64) -> String {
    match seeds {
        1 => "1 seed".to_owned(),
        _ => format!("{seeds} seeds"),
    }
}

fn told(untested: &[(String, String)]) -> String {
    let told = untested
        .iter()
        .map(|(property, why)| format!("{property} ({why})"));
    told.collect::<Vec<_>>().join(", ")
}
