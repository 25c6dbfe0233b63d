//! The stopwatch: how long something takes on the wall clock, for people and for limits of patience.
//!
//! No other file of the harness reads the machine's clock, and nothing that a run does depends on it.

use std::time::{Duration, Instant};

/// A stopwatch that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that owns the wall clock"
    )]
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// How long it has been running.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
