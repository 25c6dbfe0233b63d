//! The time of a run by the clocks of its hosts, for what happens at a moment of it, such as a rollback.

use std::time::Duration;

use reference_system::clock::now_ms;

/// When a run begins: with the year 2026, in milliseconds since 1970.
const BEGINNING_MS: i64 = 1_767_225_600_000;

/// How long the run has lasted.
pub(super) fn time_of_run() -> Duration {
    let since_ms = now_ms().saturating_sub(BEGINNING_MS);
    Duration::from_millis(u64::try_from(since_ms).unwrap_or(0))
}
