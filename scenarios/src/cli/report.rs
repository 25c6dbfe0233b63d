//! `stormglass report`: the story of a failure as a page.

use std::path::{Path, PathBuf};

use clap::Args;
use stormglass::artefact::Replay;
use stormglass::narrate;
use stormglass_reports::Story;

use super::output::{replay_command, say, write};
use super::replay::read;
use super::{CliError, Outcome};

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The artefact
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the page goes; beside the artefact unless given
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
}

/// Replays an artefact and writes its page.
pub(super) fn report(arguments: &Arguments) -> Result<Outcome, CliError> {
    let file = &arguments.file;
    let Some(story) = story(file)? else {
        return Ok(Outcome::NotDeterministic);
    };
    let page = arguments.out.clone();
    let page = page.unwrap_or_else(|| file.with_extension("html"));
    write(&page, &story.page())?;
    let property = &story.failure.property;
    say(&format!("the story of {property}: {}", page.display()))?;
    Ok(Outcome::Holds)
}

/// The story of an artefact, whose run is replayed; `None` if it has become another run, which is said.
pub(super) fn story(file: &Path) -> Result<Option<Story>, CliError> {
    let (artefact, system) = read(file)?;
    let run = match artefact.replay(&system)? {
        Replay::Same(run) => run,
        Replay::Diverged(divergence) => {
            say(&format!("{}: {divergence}", file.display()))?;
            return Ok(None);
        }
    };
    let (property, witness) = (&artefact.property, &artefact.witness);
    let mut failure = narrate::failure(&system, &artefact.plan, &run, property, witness);
    failure.replay_command = replay_command(file);
    failure.artefact = Some(file.display().to_string());
    Ok(Some(narrate::story(&system, &failure, &run, witness)?))
}
