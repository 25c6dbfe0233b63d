//! `stormglass export`: the run of an artefact for another viewer.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stormglass_reports::export::{chrome, otlp, shiviz};

use super::output::{say, write};
use super::report::story;
use super::{CliError, Outcome};

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The artefact
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The viewer's format
    #[arg(long, value_enum)]
    format: Format,
    /// Where it goes; stdout unless given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Chrome's trace events, for Perfetto and chrome://tracing
    Chrome,
    /// OTLP's JSON lines, for a collector's file receiver
    Otlp,
    /// A log with vector clocks, for ShiViz
    Shiviz,
}

/// Replays an artefact and writes its run.
pub(super) fn export(arguments: &Arguments) -> Result<Outcome, CliError> {
    let Some(story) = story(&arguments.file)? else {
        return Ok(Outcome::NotDeterministic);
    };
    let text = match arguments.format {
        Format::Chrome => chrome::render(&story),
        Format::Otlp => otlp::render(&story),
        Format::Shiviz => shiviz::render(&story),
    };
    match &arguments.out {
        Some(file) => write(file, &text)?,
        None => say(&text)?,
    }
    Ok(Outcome::Holds)
}
