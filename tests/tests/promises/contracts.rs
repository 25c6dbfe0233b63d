//! Event contracts: releases come and go, side by side, and what they promise each other holds in each of their scenarios.

use super::held::holds;

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
