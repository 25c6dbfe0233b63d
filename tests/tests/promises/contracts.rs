//! Event contracts: releases come and go, side by side, and what they promise each other holds in each of their scenarios.

use std::sync::atomic::AtomicBool;

use scenarios::Scenario;
use stormglass::Seed;
use stormglass::check::jobs;
use stormglass::explore::{Exploration, Until, explore};

/// How many seeds of each scenario are run; the sweep runs more.
const SEEDS: u64 = 25;

/// Fails with the story of the first seed that breaks a property, or if `schema`, where it is judged, was never put to the test.
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
fn old_and_new_producers_side_by_side_are_understood() {
    holds("rolling-deployment");
}

#[test]
fn a_release_that_is_taken_back_loses_nothing() {
    holds("rollback");
}

#[test]
fn what_cannot_be_read_after_a_schema_change_is_parked_and_applied_after_the_fix() {
    holds("schema-change");
}

#[test]
fn a_version_that_needs_a_coordinated_deployment_is_refused() {
    holds("distributed-monolith");
}

#[test]
fn an_event_that_only_names_an_order_waits_for_its_owner() {
    holds("thin-events");
}
