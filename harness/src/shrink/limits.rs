//! Limits: how long a shrink may take, and how it shows that it is at work.
//!
//! The time is the wall clock's. It decides how small a plan gets, never what a run does.

use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use crate::plan::Plan;
use crate::stopwatch::Stopwatch;
use crate::world::lock;

/// How many runs a shrink takes at most unless told otherwise.
const RUNS_MAX: usize = 600;
/// How long it takes at most unless told otherwise.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How often a line says how far a shrink is.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// How long a shrink may take.
pub struct Limits<'a> {
    /// How many runs at most.
    pub runs_max: usize,
    /// How long at most, on the wall clock; the run that is under way then is still finished.
    pub time_max: Duration,
    /// Called after every run.
    pub progress: &'a (dyn Fn(&Progress) + Sync),
}

/// How far a shrink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many runs it took so far.
    pub runs: usize,
    /// How many faults the smallest failing plan so far has.
    pub faults: usize,
    /// How many operations it has.
    pub operations: usize,
    /// How long it took so far, on the wall clock.
    pub elapsed: Duration,
}

impl Default for Limits<'_> {
    /// 600 runs and a minute, in silence.
    fn default() -> Self {
        Limits {
            runs_max: RUNS_MAX,
            time_max: TIME_MAX,
            progress: &|_| {},
        }
    }
}

impl Limits<'_> {
    /// As many runs as that, however long they take.
    pub fn of_runs(runs_max: usize) -> Self {
        Limits {
            runs_max,
            time_max: Duration::MAX,
            ..Limits::default()
        }
    }

    pub(super) fn report(&self, best: &Plan, runs: usize, begun: Stopwatch) {
        (self.progress)(&Progress {
            runs,
            faults: best.schedule.len(),
            operations: best.workload.len(),
            elapsed: begun.elapsed(),
        });
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} faults and {} operations are left after {} runs, {} s",
            self.faults,
            self.operations,
            self.runs,
            self.elapsed.as_secs()
        )
    }
}

/// Writes a line about a shrink of `what` to the standard error every two seconds. Past the test
/// runner, which keeps what a test prints until it has ended.
pub fn to_standard_error(what: String) -> impl Fn(&Progress) + Sync {
    let last = Mutex::new(Duration::ZERO);
    move |progress| {
        let mut last = lock(&last);
        if progress.elapsed >= *last + LINE_EVERY {
            *last = progress.elapsed;
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "shrinking {what}: {progress}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_what_is_left() {
        let progress = Progress {
            runs: 14,
            faults: 3,
            operations: 812,
            elapsed: Duration::from_millis(4_900),
        };
        assert_eq!(
            progress.to_string(),
            "3 faults and 812 operations are left after 14 runs, 4 s"
        );
    }
}
