//! A scenario of the catalogue over a few seeds, for the tests that are about some of them; the sweep runs more.

use std::sync::atomic::AtomicBool;

use scenarios::Scenario;
use stormglass::Seed;
use stormglass::check::jobs;
use stormglass::explore::{Exploration, Until, explore};

const SEEDS: u64 = 25;

/// Fails with the story of the first seed that breaks a property, or if one was never put to the test.
pub(super) fn holds(scenario: &str) {
    let system = Scenario::find(scenario).unwrap().system();
    let exploration = Exploration {
        first: Seed(0),
        seeds: SEEDS,
        jobs: jobs(),
        until: Until::FirstFailure,
        interrupted: &AtomicBool::new(false),
        progress: &|| {},
    };
    let tally = explore(&system, &exploration).unwrap();
    if let Some(failure) = tally.first_failure() {
        panic!("{}", system.report(failure).unwrap());
    }
    let vacuous: Vec<_> = tally.vacuous().collect();
    assert!(vacuous.is_empty(), "{scenario}: {vacuous:?}");
}
