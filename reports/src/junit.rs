//! A sweep as JUnit's XML, which CI systems show: a suite for each scenario, a case for each property.
//!
//! A property that no seed put to the test is a skipped case, with the reason; the exit code says that it is no success.
//! Times are left out, so that equal sweeps are equal files.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::failure::FailureReport;
use crate::paragraph::one_line;
use crate::sweep::{PropertyCount, ScenarioReport, SweepReport};
use crate::verdict::VerdictWord;

/// The sweep as an XML document.
///
/// # Panics
///
/// Never: it is written into memory, and what XML cannot carry is left out.
#[must_use]
pub fn render(report: &SweepReport) -> String {
    let mut document = Report::new("stormglass sweep");
    for scenario in &report.scenarios {
        document.add_test_suite(suite(scenario));
    }
    let text = document.to_string();
    text.expect("text in memory takes every write") + "\n"
}

fn suite(scenario: &ScenarioReport) -> TestSuite {
    let mut suite = TestSuite::new(scenario.name.as_str());
    suite.add_property(Property::new("promise", one_line(&scenario.promise)));
    suite.add_property(Property::new("seeds", scenario.seeds.to_string()));
    for (property, count) in &scenario.properties {
        let failure = scenario.told().find(|own| own.property == *property);
        suite.add_test_case(case(scenario, property, *count, failure));
    }
    let counted = |own: &&FailureReport| scenario.properties.contains_key(&own.property);
    for failure in scenario.told().filter(|own| !counted(own)) {
        let count = PropertyCount::default();
        suite.add_test_case(case(scenario, &failure.property, count, Some(failure)));
    }
    suite
}

fn case(
    scenario: &ScenarioReport,
    property: &str,
    count: PropertyCount,
    failure: Option<&FailureReport>,
) -> TestCase {
    let status = match (failure, count.verdict()) {
        (Some(failure), _) => broken(&failure.promise_broken, &failure.render()),
        (None, VerdictWord::Broken) => broken("see the sweep's own report", ""),
        (None, VerdictWord::Holds) => TestCaseStatus::success(),
        (None, VerdictWord::Vacuous) => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message("vacuous: nothing occurred that could have broken it");
            skipped
        }
    };
    let mut case = TestCase::new(property, status);
    case.set_classname(scenario.name.as_str());
    let PropertyCount {
        holds,
        broken,
        vacuous,
    } = count;
    case.add_property(Property::new("holds", holds.to_string()));
    case.add_property(Property::new("broken", broken.to_string()));
    case.add_property(Property::new("vacuous", vacuous.to_string()));
    if let Some(failure) = failure {
        case.add_property(Property::new("seed", crate::seed::text(failure.seed)));
        case.add_property(Property::new("replay", one_line(&failure.replay_command)));
    }
    case
}

fn broken(message: &str, text: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type("broken");
    status.set_message(one_line(message));
    status.set_description(text);
    status
}
