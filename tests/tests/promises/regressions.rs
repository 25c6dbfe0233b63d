//! Kept failures: what is under `tests/regressions/` runs again, and nothing in there is passed over.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use stormglass::artefact::ArtefactError;
use stormglass::explore::{Exploration, Until, explore};
use stormglass::regressions::{Regressions, run_again};
use stormglass::shrink::Limits;
use stormglass::{Seed, System};
use stormglass_tests::postings::{self, Care};

const NAME: &str = "postings";

fn careless() -> System {
    postings::system(NAME, Care::Careless)
}

/// Writes a failure of the careless ledger into `folder`, as a failing test does.
fn keep_a_failure(folder: &Path) -> PathBuf {
    let system = careless();
    let exploration = Exploration {
        first: Seed(0),
        seeds: 50,
        jobs: 1,
        until: Until::FirstFailure,
        interrupted: &AtomicBool::new(false),
        progress: &|| {},
    };
    let tally = explore(&system, &exploration).unwrap();
    let failure = tally.first_failure().expect("a failure");
    let report = system.report_into(failure, folder, &Limits::default(), &|_| String::new());
    report.unwrap().artefact.expect("a file").into()
}

#[test]
fn a_kept_failure_fails_until_it_is_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = keep_a_failure(folder.path());
    match run_again(&careless(), folder.path()).unwrap() {
        Regressions::Back { path, failure } => {
            assert_eq!(path, kept);
            assert_eq!(failure.property, "effect-once");
        }
        Regressions::Hold(count) => panic!("{count} kept failures hold"),
    }
    let fixed = run_again(&postings::system(NAME, Care::Careful), folder.path());
    assert!(matches!(fixed.unwrap(), Regressions::Hold(1)));
}

#[test]
fn a_kept_failure_of_another_system_is_not_this_ones() {
    let folder = tempfile::tempdir().unwrap();
    keep_a_failure(folder.path());
    let other = postings::system("other postings", Care::Careless);
    let regressions = run_again(&other, folder.path()).unwrap();
    assert!(matches!(regressions, Regressions::Hold(0)));
}

#[test]
fn a_damaged_kept_failure_is_named_and_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let kept = keep_a_failure(folder.path());
    let text = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, &text[..text.len() / 2]).unwrap();
    match run_again(&careless(), folder.path()) {
        Err(ArtefactError::Damaged { path, .. }) => assert_eq!(path, kept),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_the_folder_nothing_is_kept() {
    let nowhere = run_again(&careless(), Path::new("/nonexistent/regressions"));
    assert!(matches!(nowhere.unwrap(), Regressions::Hold(0)));
}
