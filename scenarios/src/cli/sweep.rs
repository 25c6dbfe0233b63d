//! `stormglass sweep`: many seeds of many scenarios, and what they add up to. The standard sweep, of
//! everything, has a share for PostgreSQL.

mod postgres;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use stormglass::artefact::Artefact;
use stormglass::database::Engine;
use stormglass::explore::{Exploration, Failure, Tally, Until, explore};
use stormglass::narrate;
use stormglass::regressions::{self, Kept, Regressions};
use stormglass::shrink::Progress;
use stormglass::simulation::{Recording, run};
use stormglass::{Seed, System};
use stormglass_reports::{
    Database, FailureReport, PropertyCount, ScenarioReport, Shard, SweepReport, json, junit,
    markdown, sweep_page, terminal,
};

use super::interrupt;
use super::output::{complain, prepare, replay_command, say, width, write};
use super::patience::Patience;
use super::progress::Progress as Bar;
use super::selection::Selection;
use super::{CliError, Outcome, broker, engine};
use crate::catalogue::{CATALOGUE, Scenario};
use crate::deploy::ShopBroker;

/// Seeds of each scenario unless told otherwise. All scenarios together have at least 500.
pub(super) const SEEDS: u64 = 40;

/// The report that other commands read, within the folder of `--out`.
pub(super) const REPORT: &str = "report.json";

/// Where artefacts go unless told otherwise.
const FOLDER: &str = "target/stormglass";

#[derive(Args, Clone, Default)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// A folder for summary.md, report.html, report.json, junit.xml and the artefacts of failures
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run only a share of the seeds, such as 2/5; `merge` joins the folders of all shares
    #[arg(long, value_name = "M/N", requires = "out")]
    shard: Option<Shard>,
    #[command(flatten)]
    patience: Patience,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table
    #[default]
    Human,
    /// One JSON document
    Json,
    /// JUnit's XML, with seed and replay command as properties
    Junit,
}

impl Format {
    /// The report as stdout gets it.
    pub(super) fn render(self, report: &SweepReport) -> String {
        match self {
            Format::Human => terminal::render(report, width()),
            Format::Json => json::write(report),
            Format::Junit => junit::render(report),
        }
    }
}

/// Writes a sweep's report into a folder, in every form, without what depends on the machine and the moment.
pub(super) fn write_into(folder: &Path, report: &SweepReport) -> Result<(), CliError> {
    let report = report.clone().repeatable();
    write(&folder.join(REPORT), &json::write(&report))?;
    write(&folder.join("summary.md"), &markdown::render(&report))?;
    write(&folder.join("report.html"), &sweep_page::render(&report))?;
    write(&folder.join("junit.xml"), &junit::render(&report))
}

/// Sweeps, and reports.
pub(super) fn sweep(arguments: &Arguments) -> Result<Outcome, CliError> {
    let broker = broker()?;
    let scenarios = arguments.selection.scenarios(broker)?;
    let engine = engine()?;
    if let Some(folder) = &arguments.out {
        prepare(folder)?;
    }
    let folder = arguments.out.as_deref().unwrap_or(Path::new(FOLDER));
    name_unclaimed()?;
    let seeds = arguments.selection.seeds_or(SEEDS)?;
    let block = Block::of(arguments, seeds)?;
    let mut share: Vec<Share> = scenarios
        .iter()
        .map(|own| Share::of(own, broker, engine, block))
        .collect();
    let is_usual = engine == Engine::Sqlite && broker == ShopBroker::Simulated;
    if is_usual && arguments.selection.is_standard() {
        let beside = postgres::scenarios().into_iter();
        let block = Block::of(arguments, postgres::SEEDS)?;
        share.extend(beside.map(|own| Share::of(own, broker, Engine::Postgres, block)));
    }
    let bar = Bar::of(share.iter().map(|own| own.block.seeds).sum(), "run");
    let sweep = Sweep {
        arguments: &arguments.selection,
        shard: arguments.shard,
        patience: &arguments.patience,
        folder,
        interrupted: interrupt::on_request(),
        bar,
    };
    let (report, failed) = sweep.report(&share, engine);
    say(&arguments.format.render(&report))?;
    if let Some(folder) = &arguments.out {
        write_into(folder, &report)?;
    }
    match failed {
        None => Ok(report.verdict().into()),
        Some(error) => Err(error),
    }
}

/// Names the kept failures that are of no scenario: one that was renamed left them behind.
fn name_unclaimed() -> Result<(), CliError> {
    let brokers = [ShopBroker::Simulated, ShopBroker::Nats];
    let names = brokers.map(|broker| CATALOGUE.iter().map(move |own| own.system_name(broker)));
    let names: Vec<String> = names.into_iter().flatten().collect();
    let scenarios: Vec<&str> = names.iter().map(String::as_str).collect();
    for (path, system) in regressions::unclaimed(Path::new(regressions::FOLDER), &scenarios)? {
        let path = path.display();
        complain(&format!(
            "stormglass: the kept failure {path} is of `{system}`, which no scenario is called: nobody runs it"
        ));
    }
    Ok(())
}

/// A scenario, and how much of it is run where.
struct Share {
    scenario: &'static Scenario,
    broker: ShopBroker,
    engine: Engine,
    block: Block,
}

impl Share {
    fn of(scenario: &'static Scenario, broker: ShopBroker, engine: Engine, block: Block) -> Self {
        Share {
            scenario,
            broker,
            engine,
            block,
        }
    }
}

/// Seeds that follow one another.
#[derive(Clone, Copy)]
struct Block {
    first: Seed,
    seeds: u64,
    /// How many there are in all shards together.
    of: u64,
}

impl Block {
    /// The seeds of one scenario that are this process's part of so many.
    fn of(arguments: &Arguments, seeds: u64) -> Result<Self, CliError> {
        let first = arguments.selection.first_seed;
        let Some(shard) = arguments.shard else {
            let of = seeds;
            return Ok(Block { first, seeds, of });
        };
        let (before, own) = shard.block(seeds);
        match own {
            0 => Err(CliError::Usage(format!(
                "--shard {shard} has none of {seeds} seeds: take at most {seeds} shards"
            ))),
            _ => Ok(Block {
                first: Seed(first.0 + before),
                seeds: own,
                of: seeds,
            }),
        }
    }
}

struct Sweep<'a> {
    arguments: &'a Selection,
    shard: Option<Shard>,
    patience: &'a Patience,
    folder: &'a Path,
    interrupted: &'static AtomicBool,
    bar: Bar,
}

impl Sweep<'_> {
    /// What was found, and why it ended early if the harness failed: what was found until then is
    /// reported all the same.
    fn report(&self, shares: &[Share], engine: Engine) -> (SweepReport, Option<CliError>) {
        let begun = Instant::now();
        let mut reports = Vec::new();
        let mut failed = None;
        for share in shares {
            if self.is_interrupted() {
                break;
            }
            match self.scenario(share, engine) {
                Ok(report) => reports.push(report),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.bar.end();
        let report = SweepReport {
            version: SweepReport::VERSION,
            first_seed: self.arguments.first_seed.0,
            jobs: Some(self.arguments.jobs() as u64),
            database: match engine {
                Engine::Sqlite => Database::Sqlite,
                Engine::Postgres => Database::Postgres,
            },
            interrupted: self.is_interrupted(),
            elapsed_ms: Some(milliseconds(begun.elapsed())),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            shard: self.shard,
            scenarios: reports,
        };
        (report, failed)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn scenario(&self, share: &Share, usual: Engine) -> Result<ScenarioReport, CliError> {
        let scenario = share.scenario;
        let system = scenario.system_on(share.broker).on(share.engine);
        self.bar.say(scenario.name);
        // What is to be done once is done by the first shard.
        let kept = match self.shard.is_none_or(Shard::is_first) {
            true => regressions::run_again(&system, Path::new(regressions::FOLDER))?,
            false => Regressions::Hold(Kept::default()),
        };
        let exploration = Exploration {
            first: share.block.first,
            seeds: share.block.seeds,
            jobs: self.arguments.jobs(),
            until: Until::AllSeeds,
            interrupted: self.interrupted,
            progress: &|| self.bar.step(),
        };
        let tally = explore(&system, &exploration)?;
        let (kept, back) = match kept {
            Regressions::Hold(kept) => (kept, None),
            Regressions::Back { failure, .. } => (Kept::default(), Some(failure)),
        };
        let back = back.map(|failure| self.failure(&system, &failure));
        let failures = tally.failures.values();
        let failures = failures.map(|failure| self.failure(&system, failure));
        let failures = failures.collect::<Result<Vec<_>, _>>()?;
        Ok(ScenarioReport {
            name: match share.engine == usual {
                true => system.name().to_owned(),
                false => format!("{} (PostgreSQL)", system.name()),
            },
            promise: scenario.promise.to_owned(),
            seeds: tally.seeds,
            seeds_asked: share.block.of,
            virtual_ms: milliseconds(tally.virtual_time),
            properties: properties(&system, &tally),
            faults: tally.faults,
            back: back.transpose()?,
            failures,
            signatures: tally.signatures,
            kept: kept.held,
            panics: tally.panics,
        })
    }

    /// The first failure of a property. It is shrunk unless the user wants the sweep to end.
    fn failure(&self, system: &System, failure: &Failure) -> Result<FailureReport, CliError> {
        if self.is_interrupted() {
            return as_found(system, failure, self.folder);
        }
        let (name, property) = (system.name(), &failure.property);
        let progress = |progress: &Progress| {
            self.bar
                .say(&format!("{name}: shrinking {property}, {progress}"));
        };
        let limits = self.patience.limits(&progress);
        Ok(system.report_into(failure, self.folder, &limits, &|path| replay_command(path))?)
    }
}

/// A failure with the whole plan that was run.
fn as_found(system: &System, failure: &Failure, folder: &Path) -> Result<FailureReport, CliError> {
    let Failure {
        plan,
        property,
        witness,
        others,
    } = failure;
    let run = run(system, plan, Recording::On)?;
    let path = folder.join(format!(
        "{}-{property}-{:08x}.json",
        system.name(),
        plan.seed.0
    ));
    let mut report = narrate::failure(system, plan, &run, property, witness);
    report.others.clone_from(others);
    match Artefact::of(system, &run, property, witness).write(&path) {
        Ok(()) => {
            report.replay_command = replay_command(&path);
            report.artefact = Some(path.display().to_string());
        }
        Err(error) => report.error = Some(error.to_string()),
    }
    Ok(report)
}

/// The counts of every property that the scenario names, even if no seed was run.
fn properties(system: &System, tally: &Tally) -> std::collections::BTreeMap<String, PropertyCount> {
    let named = system.properties().iter().map(|property| {
        let id = property.id();
        (
            id.to_owned(),
            tally.properties.get(id).copied().unwrap_or_default(),
        )
    });
    named.collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{CATALOGUE, SEEDS};

    #[test]
    fn the_default_sweep_has_at_least_500_runs() {
        assert!(CATALOGUE.len() as u64 * SEEDS >= 500);
    }
}
