//! Kept failures: what is under `tests/regressions/` runs again, and nothing in there is passed over.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use stormglass::artefact::{Artefact, ArtefactError};
use stormglass::database::Engine;
use stormglass::explore::{Exploration, Until, explore};
use stormglass::regressions::{Kept, Regressions, files, run_again, unclaimed};
use stormglass::shrink::{Limits, breaks};
use stormglass::simulation::{Recording, run};
use stormglass::{Seed, System};
use stormglass_tests::defects::DEFECTS;
use stormglass_tests::postings::{self, Care};

use super::defects::KEPT;

const NAME: &str = "postings";

fn careless() -> System {
    postings::system(NAME, Care::Careless)
}

fn held(regressions: Result<Regressions, ArtefactError>) -> Kept {
    match regressions.unwrap() {
        Regressions::Hold(kept) => kept,
        Regressions::Back { failure, .. } => panic!("{failure:?}"),
    }
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
        Regressions::Hold(kept) => panic!("{kept:?}"),
    }
    let fixed = run_again(&postings::system(NAME, Care::Careful), folder.path());
    assert_eq!(held(fixed).held, 1);
}

#[test]
fn a_kept_failure_of_another_system_is_not_this_ones() {
    let folder = tempfile::tempdir().unwrap();
    keep_a_failure(folder.path());
    let other = postings::system("other postings", Care::Careless);
    let kept = held(run_again(&other, folder.path()));
    assert_eq!(
        (kept.held, kept.of_other_systems),
        (0, [NAME.to_owned()].into())
    );
}

#[test]
fn a_kept_failure_that_nobody_claims_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let kept = keep_a_failure(folder.path());
    assert_eq!(unclaimed(folder.path(), &[NAME]).unwrap(), []);
    let renamed = unclaimed(folder.path(), &["entries"]).unwrap();
    assert_eq!(renamed, [(kept, NAME.to_owned())]);
}

#[test]
fn a_kept_failure_of_another_engine_is_not_run_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let kept = keep_a_failure(folder.path());
    let mut artefact = Artefact::read(&kept).unwrap();
    artefact.engine = Engine::Postgres;
    artefact.write(&kept).unwrap();
    let kept = held(run_again(&careless(), folder.path()));
    assert_eq!((kept.held, kept.of_another_engine), (0, 1));
}

#[test]
fn a_folder_that_cannot_be_read_is_no_empty_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    match run_again(&careless(), file.path()) {
        Err(ArtefactError::Unreadable { path, .. }) => assert_eq!(path, file.path()),
        other => panic!("{other:?}"),
    }
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
    assert_eq!(held(nowhere), Kept::default());
}

/// A kept plan that breaks nothing any more is no evidence; it is to be found and kept anew.
#[test]
fn kept_failures_of_defects_are_still_seen() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    for path in files(&folder).unwrap() {
        let artefact = Artefact::read(&path).unwrap();
        let systems = DEFECTS.iter().map(|defect| defect.system());
        let claimed = systems
            .into_iter()
            .find(|own| own.name() == artefact.system);
        let path = path.display();
        let system = claimed.unwrap_or_else(|| panic!("{path} is of no defect"));
        let run = run(&system, &artefact.plan, Recording::On).unwrap();
        assert!(
            breaks(&system, &run, &artefact.property),
            "{path} breaks {} no more: write it anew with STORMGLASS_KEEP=1 cargo test defects",
            artefact.property
        );
    }
}
