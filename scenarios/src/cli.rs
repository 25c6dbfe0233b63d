//! The command line: what the user asks for, and what the exit code says.
//!
//! Reading order: `selection` which scenarios and seeds, `sweep` the main job, `run`,
//! `replay`, `report`, `export`, `shrink`, `merge`, `audit` with `digests` as its other process, `list`, `compare`, `incidents`, `completions`; `patience` bounds a
//! shrink; `progress` is for who waits; `output` is how anything is printed. Every error is one line on stderr; nothing here panics for what a user
//! can cause.

mod audit;
mod compare;
mod completions;
mod digests;
mod export;
mod incidents;
mod interrupt;
mod list;
mod merge;
mod output;
mod patience;
mod progress;
mod replay;
mod report;
mod run;
mod selection;
mod shrink;
mod sweep;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stormglass::artefact::ArtefactError;
use stormglass::checker::Verdict;
use stormglass::database::{Engine, StoreError};
use stormglass::explore::ExploreError;
use stormglass::simulation::RunError;
use stormglass_reports::VerdictWord;

use crate::deploy::ShopBroker;
use crate::incidents::MeasureError;

/// Deterministic fault injection for the reference system.
#[derive(Parser)]
#[command(name = "stormglass", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 all properties hold, 1 a property is broken, 2 usage, \
     3 the harness failed, 4 not deterministic, 5 inconclusive (vacuous).\n\
     Without a command: sweep. STORMGLASS_DATABASE=postgres runs on PostgreSQL,\n\
     STORMGLASS_BROKER=nats over the shop's own client of a NATS server.";

#[derive(Subcommand)]
enum Command {
    /// List the scenarios: name, promise, faults and properties
    List,
    /// Run many seeds of scenarios and report what holds
    #[command(
        after_help = "Example: stormglass sweep everything poison --seeds 500 --out target/sweep"
    )]
    Sweep(sweep::Arguments),
    /// Join what the shards of a sweep found
    #[command(
        after_help = "Example: stormglass merge part1 part2 --out whole\nEach folder is of one machine: stormglass sweep --shard 1/2 --out part1"
    )]
    Merge(merge::Arguments),
    /// Run one seed and show its timeline
    #[command(after_help = "Example: stormglass run everything --seed 3 --details")]
    Run(run::Arguments),
    /// Run an artefact again and compare
    #[command(
        after_help = "Example: stormglass replay target/stormglass/everything-effect-once-00000005.json"
    )]
    Replay(replay::Arguments),
    /// Tell the story of an artefact's failure as a page
    #[command(
        after_help = "Example: stormglass report target/stormglass/everything-effect-once-00000005.json"
    )]
    Report(report::Arguments),
    /// Write an artefact's run for another viewer: Perfetto, a collector of traces, ShiViz
    #[command(
        after_help = "Example: stormglass export target/stormglass/everything-effect-once-00000005.json --format chrome"
    )]
    Export(export::Arguments),
    /// Make the plan of an artefact smaller
    #[command(
        after_help = "Example: stormglass shrink target/stormglass/everything-effect-once-00000005.json"
    )]
    Shrink(shrink::Arguments),
    /// Run each seed in two separate processes and compare digests
    #[command(after_help = "Example: stormglass audit everything --seeds 20")]
    Audit(audit::Arguments),
    /// Compare publish patterns on the same seeds under the same faults
    #[command(
        after_help = "Example: stormglass compare --seeds 40 --faults none,outage --out target/compare"
    )]
    Compare(compare::Arguments),
    /// Measure the article's incidents, with the design that failed and the one that holds
    #[command(after_help = "Example: stormglass incidents checkout --seeds 3")]
    Incidents(incidents::Arguments),
    /// Print the script with which a shell completes this command
    #[command(
        after_help = "Example: stormglass completions bash > ~/.local/share/bash-completion/completions/stormglass"
    )]
    Completions(completions::Arguments),
    /// Print digests, for `audit`
    #[command(hide = true)]
    Digests(digests::Arguments),
}

/// What a command found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All properties hold.
    Holds,
    /// A property is broken.
    Broken,
    /// Two runs of one plan differ.
    NotDeterministic,
    /// Nothing put some property to the test.
    Inconclusive,
}

/// Why a command found nothing out. The text is one line.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The user asked for what cannot be done.
    #[error("{0}")]
    Usage(String),
    /// The harness, or what it runs on, failed.
    #[error("{0}")]
    Harness(String),
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return failed(&CliError::Usage(one_line(&error))),
        Err(help) => {
            return match output::say(&help.to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            };
        }
    };
    match carry_out(
        cli.command
            .unwrap_or_else(|| Command::Sweep(sweep::Arguments::default())),
    ) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) => failed(&error),
    }
}

fn carry_out(command: Command) -> Result<Outcome, CliError> {
    match command {
        Command::List => list::list(),
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Export(arguments) => export::export(&arguments),
        Command::Shrink(arguments) => shrink::shrink(&arguments),
        Command::Audit(arguments) => audit::audit(&arguments),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Incidents(arguments) => incidents::incidents(&arguments),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Digests(arguments) => digests::digests(&arguments),
    }
}

fn failed(error: &CliError) -> ExitCode {
    output::complain(&format!("stormglass: {error}"));
    ExitCode::from(match error {
        CliError::Usage(_) => 2,
        CliError::Harness(_) => 3,
    })
}

/// The first paragraph of clap's complaint and its tip, on one line.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let wanted: Vec<String> = paragraphs
        .enumerate()
        .filter(|(number, paragraph)| *number == 0 || paragraph.starts_with("tip:"))
        .map(|(_, paragraph)| paragraph.trim_start_matches("error: ").to_owned())
        .collect();
    wanted.join("; ")
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Outcome::Holds => 0,
            Outcome::Broken => 1,
            Outcome::NotDeterministic => 4,
            Outcome::Inconclusive => 5,
        }
    }

    /// What the verdicts of one run come to.
    fn of(verdicts: &[(String, Verdict)]) -> Self {
        let any =
            |wanted: fn(&Verdict) -> bool| verdicts.iter().any(|(_, verdict)| wanted(verdict));
        if any(|verdict| matches!(verdict, Verdict::Broken(_))) {
            Outcome::Broken
        } else if any(|verdict| matches!(verdict, Verdict::Vacuous(_))) {
            Outcome::Inconclusive
        } else {
            Outcome::Holds
        }
    }
}

impl From<VerdictWord> for Outcome {
    fn from(word: VerdictWord) -> Self {
        match word {
            VerdictWord::Holds => Outcome::Holds,
            VerdictWord::Broken => Outcome::Broken,
            VerdictWord::Vacuous => Outcome::Inconclusive,
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store(StoreError::Engine(_)) | RunError::Misfit(_) | RunError::Misuse(_) => {
                CliError::Usage(error.to_string())
            }
            _ => CliError::Harness(error.to_string()),
        }
    }
}

impl From<MeasureError> for CliError {
    fn from(error: MeasureError) -> Self {
        match error {
            MeasureError::Run(error) => error.into(),
            _ => CliError::Harness(error.to_string()),
        }
    }
}

impl From<ExploreError> for CliError {
    fn from(error: ExploreError) -> Self {
        match error.error {
            RunError::Misuse(misuse) => CliError::Usage(misuse.to_string()),
            _ => CliError::Harness(error.to_string()),
        }
    }
}

impl From<ArtefactError> for CliError {
    fn from(error: ArtefactError) -> Self {
        match error {
            ArtefactError::Run(error) => error.into(),
            other => CliError::Usage(other.to_string()),
        }
    }
}

/// The broker that the environment asks for.
fn broker() -> Result<ShopBroker, CliError> {
    ShopBroker::from_environment().map_err(|error| CliError::Usage(error.to_string()))
}

/// The engine that the environment asks for.
fn engine() -> Result<Engine, CliError> {
    Engine::from_environment().map_err(|error| CliError::Usage(error.to_string()))
}
