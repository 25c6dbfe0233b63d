//! Small systems with one mistake each, taken from public bug reports: each has to be found.
//!
//! [`shop`] and [`ledger`] are right; a file beside them replaces one step of one of them by the mistake, in the
//! words of its report, or is a small system of its own. [`found`] says what being found means.

mod any_error_is_a_duplicate;
mod cancelled_before_it_was_booked;
mod charged_under_a_new_key;
mod checkpoint_in_another_database;
mod cleanup_takes_what_was_not_sent;
mod cursor_over_timestamps;
mod failed_rows_go_last;
mod forgets_too_soon;
mod headers_lost_when_parked;
mod idempotency_key_looked_up_first;
mod ledger;
mod lock_by_the_own_clock;
mod lock_outlives_its_owner;
mod reply_before_the_request_is_stored;
mod retries_run_out;
mod retry_topic_is_overtaken;
mod runs_again_after_an_unknown_commit;
mod saga_overwritten;
mod shop;

use stormglass::checker::{Property, Verdict, Witness};
use stormglass::history::History;
use stormglass::shrink::{Limits, breaks, shrink};
use stormglass::simulation::{Recording, Run, run};
use stormglass::{Seed, System};

/// What a service of these systems ends with; the host starts it again.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Within how many seeds a mistake has to be found, in the median of the [`WINDOWS`].
const SEEDS: u64 = 200;
/// Where the windows of seeds begin.
const WINDOWS: [u64; 3] = [0, 10_000, 20_000];
/// How many runs a shrink may take.
const SHRINK_RUNS_MAX: usize = 600;
/// The greatest number of faults, and of operations, that a shrunk plan may have.
const LEFT_MAX: usize = 3;
/// How many seeds are run without faults.
const CALM_SEEDS: u64 = 20;

/// What a mistake does where nothing goes wrong.
#[derive(Clone, Copy, PartialEq)]
enum Calm {
    /// Nothing: it takes a fault.
    Holds,
    /// It is a race, which load alone can decide.
    MayBreak,
}

/// The mistake is found by `property` within the seeds, and shrinks to a handful.
#[track_caller]
fn found(system: &System, calm: Calm, property: &str) {
    let name = system.name();
    let mut tries: Vec<Option<(u64, Run)>> = WINDOWS
        .iter()
        .map(|&first| {
            (0..SEEDS).find_map(|nth| {
                let plan = system.plan(Seed(first + nth)).unwrap();
                let run = run(system, &plan, Recording::On).unwrap();
                breaks(system, &run, property).then_some((nth + 1, run))
            })
        })
        .collect();
    tries.sort_by_key(|found| found.as_ref().map_or(u64::MAX, |(seeds, _)| *seeds));
    let counts: Vec<Option<u64>> = tries.iter().map(|t| t.as_ref().map(|(n, _)| *n)).collect();
    let Some((_, first)) = &tries[0] else {
        panic!(
            "{name}: {} windows of {SEEDS} seeds never broke {property}",
            WINDOWS.len()
        );
    };
    assert!(
        tries[WINDOWS.len() / 2].is_some(),
        "{name}: {property} broke after {counts:?} seeds"
    );
    let shrunk = shrink(
        system,
        &first.plan,
        property,
        &Limits::of_runs(SHRINK_RUNS_MAX),
    )
    .unwrap()
    .expect("the same plan breaks the same property");
    let plan = &shrunk.run.plan;
    println!(
        "{name}: {property} broke after {counts:?} seeds, {} runs to shrink\n{plan}",
        shrunk.runs
    );
    assert!(plan.schedule.len() <= LEFT_MAX, "{name}: {plan}");
    assert!(plan.workload.len() <= LEFT_MAX, "{name}: {plan}");
    if calm == Calm::Holds {
        holds_without_faults(system);
    }
}

#[track_caller]
fn holds_without_faults(system: &System) {
    for seed in (0..CALM_SEEDS).map(Seed) {
        let plan = system.plan(seed).unwrap().without_faults();
        let run = run(system, &plan, Recording::On).unwrap();
        for (property, verdict) in system.judge(&run.history) {
            let witness = verdict.witness();
            assert!(
                witness.is_none(),
                "seed {seed} without faults broke {property}: {witness:?}"
            );
        }
    }
}

/// A promise about the final state: a view that has to be empty.
struct NoRows {
    id: &'static str,
    promise: &'static str,
    /// The view that shows what must not be.
    view: &'static str,
}

impl Property for NoRows {
    fn id(&self) -> &str {
        self.id
    }

    fn promise(&self) -> &str {
        self.promise
    }

    fn check(&self, history: &History) -> Verdict {
        match history.final_state(self.view) {
            Some((index, [row, ..])) => Verdict::Broken(Witness {
                summary: format!("{row:?}"),
                index,
                chain: vec![index],
                ..Witness::default()
            }),
            _ => Verdict::Holds,
        }
    }
}
