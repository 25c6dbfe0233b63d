//! How a check ends: its error tells a broken property from one that was never tested.

use stormglass::check::CheckError;
use stormglass::plan::FaultKind;
use stormglass_tests::postings::{self, Care};

#[test]
fn a_broken_property_is_told_with_its_report() {
    let system = postings::system("careless outcomes", Care::Careless);
    match system.try_check() {
        Err(CheckError::Broken(report)) => {
            assert_eq!(report.property, "effect-once");
            assert_eq!(report.test, "careless outcomes");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_property_that_was_never_tested_is_no_success() {
    let system = postings::system("calm outcomes", Care::Careful).faults(&[FaultKind::Slow]);
    match system.try_check() {
        Err(CheckError::Vacuous { untested, .. }) => {
            let properties: Vec<&str> = untested.iter().map(|(property, _)| &**property).collect();
            assert_eq!(properties, ["effect-once"]);
        }
        other => panic!("{other:?}"),
    }
}
