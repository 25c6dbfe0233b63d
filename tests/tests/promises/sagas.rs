//! Sagas: orders whose steps are not answered in time come to their end, whoever drives them.

use std::sync::atomic::AtomicBool;

use scenarios::Scenario;
use stormglass::Seed;
use stormglass::check::jobs;
use stormglass::explore::{Exploration, Until, explore};

/// How many seeds of each scenario are run; the sweep runs more.
const SEEDS: u64 = 25;

/// Fails with the story of the first seed that breaks a property, or if one was never put to the test.
fn holds(scenario: &str) {
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

#[test]
fn an_order_whose_step_is_late_is_compensated_by_the_services_themselves() {
    holds("saga-timeout");
}

#[test]
fn an_order_whose_step_is_late_is_compensated_by_the_orchestrator() {
    holds("saga-timeout-orchestrated");
}
