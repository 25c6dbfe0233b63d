//! The test entry: explores seeds of a system from `cargo test` and fails with a story.
//!
//! What was kept under `tests/regressions/` of the package is run first.
//! `STORMGLASS_SEEDS` sets how many seeds are explored, `STORMGLASS_SEED` explores one,
//! `STORMGLASS_REPLAY` replays an artefact.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use stormglass_reports::{FailureReport, GreenReport};

use crate::artefact::{Artefact, ArtefactError, Replay};
use crate::explore::{Exploration, Failure, Tally, Until, explore};
use crate::narrate;
use crate::regressions::{self, Regressions};
use crate::seed::Seed;
use crate::shrink::{Shrunk, shrink};
use crate::simulation::{Recording, RunError, run};
use crate::system::System;

/// How many seeds a test explores unless `STORMGLASS_SEEDS` says otherwise.
pub const SEEDS: u64 = 200;
/// How many runs a shrink takes at most.
pub const SHRINK_RUNS_MAX: usize = 600;

/// What a failed check says, in words for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CheckError(pub String);

impl System {
    /// Explores seeds and panics with a minimal story if one of them breaks a property, or if no
    /// seed put a property to the test. Prints the evidence if all hold.
    ///
    /// # Panics
    ///
    /// If a property is broken or vacuous, a run comes to no result, or an environment variable
    /// cannot be read. This is the entry point for tests.
    #[track_caller]
    pub fn check(&self) {
        match self.try_check() {
            Ok(green) => println!("{green}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`System::check`], but returns what it would print or panic with.
    ///
    /// # Errors
    ///
    /// Everything that [`System::check`] panics for.
    pub fn try_check(&self) -> Result<GreenReport, CheckError> {
        let say = |error: &dyn std::fmt::Display| CheckError(format!("{}: {error}", self.name()));
        if let Some(path) = variable("STORMGLASS_REPLAY") {
            return self.check_replay(Path::new(&path));
        }
        let one: Option<Seed> = number("STORMGLASS_SEED").map_err(|error| say(&error))?;
        let many: Option<u64> = number("STORMGLASS_SEEDS").map_err(|error| say(&error))?;
        if many == Some(0) {
            return Err(say(&"STORMGLASS_SEEDS is 0: explore at least one seed"));
        }
        self.refuse_untestable().map_err(|error| say(&error))?;
        let begun = Instant::now();
        let kept = match one {
            None => self.check_kept()?,
            Some(_) => 0,
        };
        let exploration = Exploration {
            first: one.unwrap_or(Seed(0)),
            seeds: if one.is_some() {
                1
            } else {
                many.unwrap_or(SEEDS)
            },
            jobs: jobs(),
            until: Until::FirstFailure,
            interrupted: &AtomicBool::new(false),
            progress: &|| {},
        };
        let tally = explore(self, &exploration).map_err(|error| say(&error))?;
        if let Some(failure) = tally.first_failure() {
            let report = self.report(failure).map_err(|error| say(&error))?;
            return Err(CheckError(format!("\n\n{report}")));
        }
        self.refuse_vacuous(&tally)?;
        Ok(GreenReport {
            test: self.name().to_owned(),
            seeds: tally.seeds,
            elapsed_ms: begun.elapsed().as_millis() as u64,
            virtual_ms: tally.virtual_time.as_millis() as u64,
            tested_least: tally.tested_least(),
            faults: tally.faults,
            kept,
        })
    }

    /// Runs the kept failures of the package again, and says how many.
    fn check_kept(&self) -> Result<u64, CheckError> {
        let say = |error: &dyn std::fmt::Display| CheckError(format!("{}: {error}", self.name()));
        let package = variable("CARGO_MANIFEST_DIR").unwrap_or_default();
        let folder = Path::new(&package).join(regressions::FOLDER);
        match regressions::run_again(self, &folder).map_err(|error| say(&error))? {
            Regressions::Hold(count) => Ok(count),
            Regressions::Back { path, failure } => {
                let report = self.report(&failure).map_err(|error| say(&error))?;
                let path = path.display();
                Err(CheckError(format!(
                    "\n\nthe kept failure {path} is back\n\n{report}"
                )))
            }
        }
    }

    fn refuse_vacuous(&self, tally: &Tally) -> Result<(), CheckError> {
        let told = |(property, reason)| format!("{property} ({reason})");
        let vacuous: Vec<String> = tally.vacuous().map(told).collect();
        if vacuous.is_empty() {
            return Ok(());
        }
        Err(CheckError(format!(
            "{}: {} seeds never put to the test: {}. If that is not how the system is described, explore \
             more seeds (STORMGLASS_SEEDS), allow more kinds of fault, or drop the property.",
            self.name(),
            tally.seeds,
            vacuous.join(", ")
        )))
    }

    /// Shrinks a failure, saves it as an artefact, and tells its story.
    ///
    /// # Errors
    ///
    /// If a run comes to no result. An artefact that cannot be written is said in the report.
    pub fn report(&self, failure: &Failure) -> Result<FailureReport, RunError> {
        let folder = target_folder().join("stormglass");
        self.report_into(failure, &folder, &|path| {
            format!("STORMGLASS_REPLAY={} {}", path.display(), test_command())
        })
    }

    /// As [`System::report`], with the artefact in `folder` and the replay command of the caller's.
    ///
    /// # Errors
    ///
    /// If a run comes to no result.
    pub fn report_into(
        &self,
        failure: &Failure,
        folder: &Path,
        replay_command: &dyn Fn(&Path) -> String,
    ) -> Result<FailureReport, RunError> {
        let begun = Instant::now();
        let shrunk = shrink(self, &failure.plan, &failure.property, SHRINK_RUNS_MAX)?;
        let Shrunk {
            run,
            runs,
            one_minimal,
        } = match shrunk {
            Some(shrunk) => shrunk,
            None => Shrunk {
                run: run(self, &failure.plan, Recording::On)?,
                runs: 1,
                one_minimal: false,
            },
        };
        let verdicts = self.judge(&run.history);
        let witness = verdicts
            .iter()
            .find(|(property, _)| *property == failure.property)
            .and_then(|(_, verdict)| verdict.witness())
            .unwrap_or(&failure.witness);
        let name = format!(
            "{}-{}-{}.json",
            file_name(self.name()),
            file_name(&failure.property),
            hexadecimal(run.plan.seed)
        );
        let path = folder.join(&name);
        let artefact = Artefact::of(self, &run, &failure.property, witness);
        let written = artefact.write(&path);
        let mut report = narrate::failure(self, &failure.plan, &run, &failure.property, witness);
        report.shrink_runs = runs as u64;
        report.shrink_ms = begun.elapsed().as_millis() as u64;
        report.one_minimal = one_minimal;
        report.others.clone_from(&failure.others);
        report.replay_command = match &written {
            Ok(()) => replay_command(&path),
            Err(_) => format!("STORMGLASS_SEED={} {}", run.plan.seed, test_command()),
        };
        match written {
            Ok(()) => {
                report.artefact = Some(path.display().to_string());
                report.keep_as = Some(format!("{}/{name}", regressions::FOLDER));
            }
            Err(error) => report.error = Some(error.to_string()),
        }
        Ok(report)
    }

    fn check_replay(&self, path: &Path) -> Result<GreenReport, CheckError> {
        let say = |error: &dyn std::fmt::Display| CheckError(format!("{}: {error}", self.name()));
        let artefact = Artefact::read(path).map_err(|error| say(&error))?;
        let run = match artefact.replay(self) {
            Ok(Replay::Same(run)) => run,
            Ok(Replay::Diverged(divergence)) => return Err(say(&divergence)),
            // Other tests of the same command are not what the replay is about.
            Err(error @ ArtefactError::OtherSystem { .. }) => {
                println!("{}: not replayed: {error}", self.name());
                return Ok(GreenReport {
                    test: self.name().to_owned(),
                    ..GreenReport::default()
                });
            }
            Err(error) => return Err(say(&error)),
        };
        let verdicts = self.judge(&run.history);
        println!("{}", narrate::timeline(self, &run, &verdicts));
        let broken = verdicts.iter().find_map(|(property, verdict)| {
            verdict
                .witness()
                .map(|witness| format!("{property} broken: {witness}"))
        });
        match broken {
            Some(broken) => Err(say(&format!(
                "replayed {}, same digest {}; {broken}",
                path.display(),
                artefact.digest
            ))),
            None => Ok(GreenReport {
                test: self.name().to_owned(),
                seeds: 1,
                virtual_ms: run.elapsed.as_millis() as u64,
                ..GreenReport::default()
            }),
        }
    }
}

/// How many runs at once: as many as the machine has cores.
pub fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Result<Option<T>, String> {
    variable(name)
        .map(|text| {
            text.parse()
                .map_err(|error| format!("{name} is `{text}`: {error}"))
        })
        .transpose()
}

/// The command that runs the current test alone.
fn test_command() -> String {
    let package = variable("CARGO_PKG_NAME")
        .map(|name| format!(" -p {name}"))
        .unwrap_or_default();
    let package = package + &example().unwrap_or_default();
    let test = std::thread::current()
        .name()
        .filter(|name| *name != "main")
        .map(str::to_owned);
    match test {
        Some(test) => format!("cargo test{package} {test} -- --exact --nocapture"),
        None => format!("cargo test{package} -- --nocapture"),
    }
}

/// The option that selects the example which is being tested; Cargo leaves examples out otherwise.
fn example() -> Option<String> {
    let exe = std::env::current_exe().ok()?;
    let built_as_example = exe.parent()?.file_name()? == "examples";
    let (name, _) = exe.file_name()?.to_str()?.rsplit_once('-')?;
    built_as_example.then(|| format!(" --example {name}"))
}

/// Cargo's target folder: the one above the running test that Cargo has marked as a cache.
fn target_folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.ancestors()
        .filter(|folder| folder.join("CACHEDIR.TAG").exists())
        .last()
        .map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// A name that can be a file's.
pub fn file_name(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn hexadecimal(seed: Seed) -> String {
    format!("{:08x}", seed.0)
}
