//! `stormglass audit`: is a run really a function of its seed?
//!
//! Each seed is run in two separate processes, which take the seeds in opposite orders, and the
//! digests are compared. Properties are not judged.

mod process;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Args;
use stormglass::Seed;
use stormglass::artefact::Divergence;

use super::output::say;
use super::progress::Progress;
use super::selection::Selection;
use super::{CliError, Outcome, broker, engine};
use crate::catalogue::Scenario;
use process::{Chunk, compare, histories};

/// Seeds of each scenario unless told otherwise.
const SEEDS: u64 = 20;
/// How many seeds a process runs at most: several processes share the work, but each surveys its scenario
/// anew, which takes as long as some ten seeds.
const CHUNK: u64 = 50;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

/// Audits, and names the first difference.
pub(super) fn audit(arguments: &Arguments) -> Result<Outcome, CliError> {
    let selection = &arguments.selection;
    let scenarios = selection.scenarios(broker()?)?;
    engine()?;
    let seeds = selection.seeds_or(SEEDS)?;
    let work = Work {
        scenarios: &scenarios,
        first: selection.first_seed,
        seeds,
    };
    let bar = Progress::of(work.chunks(), "chunk");
    let difference = work.first_difference(selection.jobs(), &|| bar.step());
    bar.end();
    let Some(difference) = difference? else {
        let (seeds, scenarios) = (
            counted(seeds, "seed"),
            counted(scenarios.len() as u64, "scenario"),
        );
        say(&format!(
            "no difference: {seeds} of {scenarios}, each in two processes"
        ))?;
        return Ok(Outcome::Holds);
    };
    say(&difference.told()?)?;
    Ok(Outcome::NotDeterministic)
}

fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The seeds of all scenarios, cut into what one process runs.
struct Work<'a> {
    scenarios: &'a [&'static Scenario],
    first: Seed,
    seeds: u64,
}

impl Work<'_> {
    fn chunks_each(&self) -> u64 {
        self.seeds.div_ceil(CHUNK)
    }

    fn chunks(&self) -> u64 {
        self.chunks_each()
            .saturating_mul(self.scenarios.len() as u64)
    }

    fn chunk(&self, number: u64) -> Option<Chunk> {
        let scenario = usize::try_from(number / self.chunks_each()).ok()?;
        let begin = number % self.chunks_each() * CHUNK;
        Some(Chunk {
            scenario: self.scenarios.get(scenario)?.name,
            first: Seed(self.first.0 + begin),
            seeds: CHUNK.min(self.seeds - begin),
        })
    }
}

/// A seed whose two runs were not equal.
struct Difference {
    chunk: Chunk,
    seed: Seed,
}

impl Difference {
    /// What differs, found out by running both again.
    fn told(&self) -> Result<String, CliError> {
        let (first, second) = histories(&self.chunk, self.seed)?;
        let heading = format!(
            "not deterministic: {}, seed {}",
            self.chunk.scenario, self.seed
        );
        Ok(match Divergence::between(&first, &second) {
            Some(divergence) => format!("{heading}\n{divergence}"),
            None => format!(
                "{heading}\n  digests differed, but two further runs were equal line by line: \
                 the difference is rare, or in something that a line does not show"
            ),
        })
    }
}

impl Work<'_> {
    /// The first seed, in order, whose runs in two processes differ.
    fn first_difference(
        &self,
        jobs: usize,
        progress: &(dyn Fn() + Sync),
    ) -> Result<Option<Difference>, CliError> {
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let found = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(usize::try_from(self.chunks()).unwrap_or(jobs)) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(chunk) = self.chunk(number) else {
                            return;
                        };
                        let compared = compare(&chunk);
                        if !matches!(compared, Ok(None)) {
                            stop.store(true, Ordering::Relaxed);
                            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                            found.push((number, chunk, compared));
                        }
                        progress();
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(number, _, _)| *number);
        match found.into_iter().next() {
            None => Ok(None),
            Some((_, chunk, compared)) => Ok(compared?.map(|seed| Difference { chunk, seed })),
        }
    }
}
