//! The test entry: explores seeds of a system from `cargo test` and fails with a story.
//!
//! What was kept under `tests/regressions/` of the package is run first.
//! `STORMGLASS_SEEDS` sets how many seeds are explored, `STORMGLASS_SEED` explores one and tells its timeline,
//! `STORMGLASS_REPLAY` replays an artefact, `STORMGLASS_SHRINK_SECONDS` bounds a shrink.

mod error;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use stormglass_reports::{FailureReport, GreenReport};

pub use error::{CheckError, NoResult};

use crate::artefact::{Artefact, ArtefactError, Replay};
use crate::checker::Witness;
use crate::explore::{Exploration, Failure, Tally, Until, explore};
use crate::narrate;
use crate::regressions::{self, Kept, Regressions};
use crate::seed::Seed;
use crate::shrink::{self, Limits, shrink};
use crate::simulation::{Recording, Run, RunError, run};
use crate::stopwatch::Stopwatch;
use crate::system::System;

/// How many seeds a test explores unless `STORMGLASS_SEEDS` or [`System::seeds`] says otherwise.
pub const SEEDS: u64 = 200;

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
        if let Some(path) = variable("STORMGLASS_REPLAY") {
            return self.check_replay(Path::new(&path));
        }
        let one: Option<Seed> = number("STORMGLASS_SEED").map_err(|what| self.misuse(what))?;
        let many: Option<u64> = number("STORMGLASS_SEEDS").map_err(|what| self.misuse(what))?;
        shrink_time_max().map_err(|what| self.misuse(what))?;
        if many == Some(0) {
            return Err(self.misuse("STORMGLASS_SEEDS is 0: explore at least one seed"));
        }
        let many = many.or(self.seeds).unwrap_or(SEEDS);
        if many == 0 {
            return Err(self.misuse("`seeds` is 0: explore at least one seed"));
        }
        self.refuse_untestable()
            .map_err(|error| self.misuse(error.to_string()))?;
        let begun = Stopwatch::start();
        let kept = match one {
            None => self.check_kept()?,
            Some(_) => Kept::default(),
        };
        let exploration = Exploration {
            first: one.unwrap_or(Seed(0)),
            seeds: if one.is_some() { 1 } else { many },
            jobs: jobs(),
            until: Until::FirstFailure,
            interrupted: &AtomicBool::new(false),
            progress: &|| {},
        };
        let tally = explore(self, &exploration).map_err(|error| self.no_result(error))?;
        if let Some(failure) = tally.first_failure() {
            return Err(CheckError::Broken(self.checked_report(failure)?));
        }
        if let Some(seed) = one {
            let run = self
                .plan(seed)
                .and_then(|plan| run(self, &plan, Recording::On));
            let run = run.map_err(|error| self.no_result(error))?;
            println!(
                "{}",
                narrate::timeline(self, &run, &self.judge(&run.history))
            );
        }
        self.refuse_vacuous(&tally)?;
        Ok(GreenReport {
            test: self.name().to_owned(),
            seeds: tally.seeds,
            elapsed_ms: begun.elapsed().as_millis() as u64,
            virtual_ms: tally.virtual_time.as_millis() as u64,
            operations: tally.operations,
            operations_failed: tally.operations_failed,
            properties: tally.properties,
            faults: tally.faults,
            kept: kept.held,
            kept_of_another_engine: kept.of_another_engine,
            kept_of_other_systems: kept.of_other_systems,
            panics: tally.panics,
        })
    }

    /// Runs the kept failures of the package again.
    fn check_kept(&self) -> Result<Kept, CheckError> {
        let package = variable("CARGO_MANIFEST_DIR").unwrap_or_default();
        let folder = Path::new(&package).join(regressions::FOLDER);
        match regressions::run_again(self, &folder).map_err(|error| self.no_result(error))? {
            Regressions::Hold(kept) => Ok(kept),
            Regressions::Back { path, failure } => {
                let report = self.checked_report(&failure)?;
                Err(CheckError::Back { path, report })
            }
        }
    }

    fn misuse(&self, what: impl Into<String>) -> CheckError {
        CheckError::Misuse {
            system: self.name().to_owned(),
            what: what.into(),
        }
    }

    fn no_result(&self, why: impl Into<NoResult>) -> CheckError {
        CheckError::NoResult {
            system: self.name().to_owned(),
            why: Box::new(why.into()),
        }
    }

    /// The report of a failure that a test found.
    fn checked_report(&self, failure: &Failure) -> Result<Box<FailureReport>, CheckError> {
        let report = self.report(failure);
        report.map(Box::new).map_err(|error| self.no_result(error))
    }

    fn refuse_vacuous(&self, tally: &Tally) -> Result<(), CheckError> {
        let told = |(property, why): (&str, &str)| (property.to_owned(), why.to_owned());
        let untested: Vec<(String, String)> = tally.vacuous().map(told).collect();
        if untested.is_empty() {
            return Ok(());
        }
        Err(CheckError::Vacuous {
            system: self.name().to_owned(),
            seeds: tally.seeds,
            untested,
            panics: tally.panics.clone(),
        })
    }

    /// Shrinks a failure, saves it as an artefact, and tells its story.
    ///
    /// # Errors
    ///
    /// If a run comes to no result. An artefact that cannot be written is said in the report.
    pub fn report(&self, failure: &Failure) -> Result<FailureReport, RunError> {
        let folder = target_folder().join("stormglass");
        let limits = Limits {
            time_max: shrink_time_max().unwrap_or(Limits::default().time_max),
            progress: &shrink::to_standard_error(failure.property.clone()),
            ..Limits::default()
        };
        self.report_into(failure, &folder, &limits, &|path| {
            format!("STORMGLASS_REPLAY={} {}", path.display(), test_command())
        })
    }

    /// As [`System::report`], with the artefact in `folder`, and with limits and a replay command of the
    /// caller's.
    ///
    /// # Errors
    ///
    /// If a run comes to no result.
    pub fn report_into(
        &self,
        failure: &Failure,
        folder: &Path,
        limits: &Limits<'_>,
        replay_command: &dyn Fn(&Path) -> String,
    ) -> Result<FailureReport, RunError> {
        let (original, property) = (&failure.plan, &failure.property);
        let (run, witness, mut report) = match shrink(self, original, property, limits)? {
            Some(shrunk) => {
                let report = narrate::shrunk(self, original, &shrunk, property);
                (shrunk.run, shrunk.witness, report)
            }
            None => {
                let run = run(self, original, Recording::On)?;
                let report = narrate::failure(self, original, &run, property, &failure.witness);
                (run, failure.witness.clone(), report)
            }
        };
        let name = format!(
            "{}-{}-{}.json",
            file_name(self.name()),
            file_name(&failure.property),
            hexadecimal(run.plan.seed)
        );
        let path = folder.join(&name);
        let artefact = Artefact::of(self, &run, property, &witness);
        let written = artefact.write(&path);
        report.others.clone_from(&failure.others);
        report.replay_command = match &written {
            Ok(()) => replay_command(&path),
            Err(_) => format!("STORMGLASS_SEED={} {}", run.plan.seed, test_command()),
        };
        match written {
            Ok(()) => {
                report.artefact = Some(path.display().to_string());
                match artefact.replay(self) {
                    Ok(Replay::Diverged(divergence)) => {
                        report.note = Some(format!("it does not repeat: {divergence}"));
                    }
                    _ => report.keep_as = Some(format!("{}/{name}", regressions::FOLDER)),
                }
            }
            Err(error) => report.error = Some(error.to_string()),
        }
        self.tell(&mut report, &run, &witness, &path.with_extension("html"));
        Ok(report)
    }

    /// Writes the page of a failure beside its artefact. A page that cannot be had is said, and hides nothing.
    fn tell(&self, report: &mut FailureReport, run: &Run, witness: &Witness, path: &Path) {
        let page = narrate::story(self, report, run, witness).map(|story| story.page());
        let written = page
            .map_err(|error| error.to_string())
            .and_then(|page| std::fs::write(path, page).map_err(|error| error.to_string()));
        match written {
            Ok(()) => report.story = Some(path.display().to_string()),
            Err(error) if report.error.is_none() => {
                report.error = Some(format!("no page of the story: {error}"));
            }
            Err(_) => {}
        }
    }

    fn check_replay(&self, path: &Path) -> Result<GreenReport, CheckError> {
        let artefact = Artefact::read(path).map_err(|error| self.no_result(error))?;
        let system = self.name().to_owned();
        let run = match artefact.replay(self) {
            Ok(Replay::Same(run)) => run,
            Ok(Replay::Diverged(divergence)) => {
                let divergence = Box::new(divergence);
                return Err(CheckError::Diverged { system, divergence });
            }
            // Other tests of the same command are not what the replay is about.
            Err(error @ ArtefactError::OtherSystem { .. }) => {
                println!("{system}: not replayed: {error}");
                return Ok(GreenReport {
                    test: system,
                    ..GreenReport::default()
                });
            }
            Err(error) => return Err(self.no_result(error)),
        };
        let verdicts = self.judge(&run.history);
        println!("{}", narrate::timeline(self, &run, &verdicts));
        let mut broken = verdicts
            .iter()
            .filter_map(|(property, verdict)| Some((property, verdict.witness()?)));
        match broken.next() {
            Some((property, witness)) => Err(CheckError::Replayed {
                system,
                path: path.to_owned(),
                digest: artefact.digest,
                property: property.clone(),
                witness: Box::new(witness.clone()),
            }),
            None => Ok(GreenReport {
                test: system,
                seeds: 1,
                virtual_ms: run.elapsed.as_millis() as u64,
                ..GreenReport::default()
            }),
        }
    }
}

/// How long a shrink may take: a minute, or `STORMGLASS_SHRINK_SECONDS`.
fn shrink_time_max() -> Result<Duration, String> {
    let seconds: Option<u64> = number("STORMGLASS_SHRINK_SECONDS")?;
    Ok(seconds.map_or(Limits::default().time_max, Duration::from_secs))
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
