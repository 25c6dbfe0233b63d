//! Sagas: orders whose steps are not answered in time come to their end, whoever drives them.

use super::held::holds;

#[test]
fn an_order_whose_step_is_late_is_compensated_by_the_services_themselves() {
    holds("saga-timeout");
}

#[test]
fn an_order_whose_step_is_late_is_compensated_by_the_orchestrator() {
    holds("saga-timeout-orchestrated");
}
