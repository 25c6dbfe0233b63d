//! `stormglass merge`: the folders of all shards of a sweep become the folder of the whole sweep.

use std::path::{Path, PathBuf};

use clap::Args;
use stormglass_reports::merge::merge as merged;
use stormglass_reports::story::readdressed;
use stormglass_reports::{FailureReport, SweepReport, json};

use super::output::{prepare, replay_command, say, write};
use super::sweep::{Format, REPORT, write_into};
use super::{CliError, Outcome};

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The folders that `sweep --shard M/N --out DIR` filled, in any order
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Where summary.md, report.html, report.json, junit.xml and the artefacts go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Merges, writes and prints.
pub(super) fn merge(arguments: &Arguments) -> Result<Outcome, CliError> {
    let Arguments {
        folders,
        out,
        format,
    } = arguments;
    let reports = folders.iter().map(|folder| read(folder));
    let reports = reports.collect::<Result<Vec<_>, _>>()?;
    // Before anything is written: shards that do not belong together leave no half of a folder.
    let mut whole = merged(&reports).map_err(|error| CliError::Usage(error.to_string()))?;
    prepare(out)?;
    for scenario in &mut whole.scenarios {
        for failure in scenario.back.iter_mut().chain(&mut scenario.failures) {
            bring_along(folders, out, failure)?;
        }
    }
    write_into(out, &whole)?;
    say(&format.render(&whole))?;
    Ok(whole.verdict().into())
}

fn read(folder: &Path) -> Result<SweepReport, CliError> {
    let path = folder.join(REPORT);
    let report = json::read(&read_text(&path)?);
    report.map_err(|error| CliError::Usage(format!("failed to read {}: {error}", path.display())))
}

/// Copies the artefact and the page of a failure out of its shard's folder, and has the report name the copies.
fn bring_along(
    folders: &[PathBuf],
    out: &Path,
    failure: &mut FailureReport,
) -> Result<(), CliError> {
    let path = failure.artefact.as_deref().map(Path::new);
    let Some(name) = path.and_then(Path::file_name) else {
        return Ok(());
    };
    let to = out.join(name);
    let from = folders.iter().map(|folder| folder.join(name));
    let from = from.into_iter().find(|path| path.exists()).ok_or_else(|| {
        let name = name.display();
        CliError::Usage(format!(
            "no shard's folder has the artefact {name}, which a report names"
        ))
    })?;
    let command = replay_command(&to);
    if failure.story.is_some() {
        let (page, copy) = (from.with_extension("html"), to.with_extension("html"));
        let text = read_text(&page)?;
        write(
            &copy,
            &readdressed(&text, &failure.replay_command, &command),
        )?;
        failure.story = Some(copy.display().to_string());
    }
    write(&to, &read_text(&from)?)?;
    failure.artefact = Some(to.display().to_string());
    failure.replay_command = command;
    Ok(())
}

fn read_text(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| CliError::Usage(format!("failed to read {}: {error}", path.display())))
}
