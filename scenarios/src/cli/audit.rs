//! `stormglass audit`: is a run really a function of its seed?
//!
//! Each seed is run in two separate processes, which take the seeds in opposite orders, and the
//! digests are compared. Properties are not judged.

mod process;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Args;
use indicatif::ProgressBar;
use stormglass::Seed;
use stormglass::artefact::Divergence;

use super::output::say;
use super::selection::Selection;
use super::{CliError, Outcome, engine};
use crate::catalogue::Scenario;
use process::{Chunk, compare, histories};

/// Seeds of each scenario unless told otherwise.
const SEEDS: u64 = 20;
/// How many seeds a process runs, so that many processes share the work.
const CHUNK: u64 = 10;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

/// Audits, and names the first difference.
pub(super) fn audit(arguments: &Arguments) -> Result<Outcome, CliError> {
    let selection = &arguments.selection;
    let scenarios = selection.scenarios()?;
    engine()?;
    let seeds = selection.seeds.unwrap_or(SEEDS);
    let chunks = chunks(&scenarios, selection.first_seed, seeds);
    let bar = ProgressBar::new(chunks.len() as u64);
    let difference = first_difference(&chunks, selection.jobs(), &|| bar.inc(1));
    bar.finish_and_clear();
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

fn chunks(scenarios: &[&'static Scenario], first: Seed, seeds: u64) -> Vec<Chunk> {
    let of_scenario = |scenario: &&'static Scenario| {
        let name = scenario.name;
        let begins = (0..seeds).step_by(CHUNK as usize);
        begins.map(move |begin| Chunk {
            scenario: name,
            first: Seed(first.0.wrapping_add(begin)),
            seeds: CHUNK.min(seeds - begin),
        })
    };
    scenarios.iter().flat_map(of_scenario).collect()
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

/// The first chunk, in order, whose two processes differ.
fn first_difference(
    chunks: &[Chunk],
    jobs: usize,
    progress: &(dyn Fn() + Sync),
) -> Result<Option<Difference>, CliError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = chunks.get(number) else {
                        return;
                    };
                    let compared = compare(chunk);
                    if !matches!(compared, Ok(None)) {
                        stop.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((number, compared));
                    }
                    progress();
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(number, _)| *number);
    match found.into_iter().next() {
        None => Ok(None),
        Some((number, compared)) => {
            let chunk = chunks[number].clone();
            Ok(compared?.map(|seed| Difference { chunk, seed }))
        }
    }
}
