//! `stormglass merge`: the folders of all shards of a sweep become the folder of the whole sweep.

use std::path::{Path, PathBuf};

use clap::Args;
use stormglass_reports::merge::merge as merged;
use stormglass_reports::{FailureReport, SweepReport, json};

use super::output::{prepare, replay_command, say};
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
    let reports = arguments.folders.iter().map(|folder| read(folder));
    let mut reports = reports.collect::<Result<Vec<_>, _>>()?;
    // Before anything is written: shards that do not belong together leave no half of a folder.
    merged(&reports).map_err(|error| CliError::Usage(error.to_string()))?;
    prepare(&arguments.out)?;
    for (folder, report) in arguments.folders.iter().zip(&mut reports) {
        bring_along(folder, &arguments.out, report)?;
    }
    let whole = merged(&reports).map_err(|error| CliError::Usage(error.to_string()))?;
    write_into(&arguments.out, &whole)?;
    say(&arguments.format.render(&whole))?;
    Ok(whole.verdict().into())
}

fn read(folder: &Path) -> Result<SweepReport, CliError> {
    let path = folder.join(REPORT);
    let usage =
        |error: String| CliError::Usage(format!("failed to read {}: {error}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| usage(error.to_string()))?;
    json::read(&text).map_err(|error| usage(error.to_string()))
}

/// Copies the artefacts of a shard's failures, and has the report name the copies.
fn bring_along(folder: &Path, out: &Path, report: &mut SweepReport) -> Result<(), CliError> {
    let scenarios = report.scenarios.iter_mut();
    let told = scenarios.flat_map(|own| own.back.iter_mut().chain(&mut own.failures));
    for failure in told {
        let FailureReport {
            artefact,
            story,
            replay_command: command,
            ..
        } = failure;
        let Some(name) = artefact
            .as_deref()
            .and_then(|path| Path::new(path).file_name())
        else {
            continue;
        };
        let (from, to) = (folder.join(name), out.join(name));
        if from != to {
            std::fs::copy(&from, &to).map_err(|error| {
                let (from, to) = (from.display(), to.display());
                CliError::Usage(format!("failed to copy {from} to {to}: {error}"))
            })?;
        }
        let page = from.with_extension("html");
        if story.is_some() && page.exists() && from != to {
            let copy = to.with_extension("html");
            std::fs::copy(&page, &copy).map_err(|error| {
                let (from, to) = (page.display(), copy.display());
                CliError::Usage(format!("failed to copy {from} to {to}: {error}"))
            })?;
            *story = Some(copy.display().to_string());
        }
        *artefact = Some(to.display().to_string());
        *command = replay_command(&to);
    }
    Ok(())
}
