//! How a check ends: its error tells a broken property from one that was never tested.

use proptest::strategy::Just;
use stormglass::check::CheckError;
use stormglass::checker::{Convergence, NoPanic, Property, Verdict};
use stormglass::history::History;
use stormglass::plan::FaultKind;
use stormglass::{Machine, System};
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

/// A service with a task that nobody awaits, and that does not survive the service's first restart.
fn with_a_frail_task(name: &str) -> System {
    async fn serve(machine: Machine) -> Result<(), String> {
        if machine.incarnation() > 1 {
            drop(tokio::spawn(async { panic!("a lease is held already") }));
        }
        std::future::pending().await
    }
    async fn nothing(_: u8) -> Result<(), String> {
        Ok(())
    }
    System::new(name)
        .host("worker", serve)
        .operations(|| Just(0_u8), nothing)
        .seeds(20)
}

/// A property that minds nothing.
struct Indifferent;

impl Property for Indifferent {
    fn id(&self) -> &str {
        "indifferent"
    }

    fn promise(&self) -> &str {
        "whatever happens"
    }

    fn check(&self, _: &History) -> Verdict {
        Verdict::Holds
    }
}

#[test]
fn a_panic_that_no_property_minds_is_told_with_the_evidence() {
    let system = with_a_frail_task("frail").property(Indifferent);
    let green = system.try_check().unwrap();
    let [panics] = &*green.panics else {
        panic!("{:?}", green.panics);
    };
    assert!((1..=20).contains(&panics.seeds), "{panics:?}");
    let text = green.to_string();
    let told = format!(
        "; worker panicked at {} in {} seed",
        panics.place, panics.seeds
    );
    assert!(text.contains(&told), "{text}");
    assert!(text.contains(": a lease is held already"), "{text}");
    assert!(panics.place.contains("outcomes.rs:"), "{text}");
}

#[test]
fn a_panic_is_told_where_nothing_was_put_to_the_test() {
    let system = with_a_frail_task("frail, and does nothing").property(Convergence);
    let error = system.try_check().unwrap_err();
    assert!(matches!(error, CheckError::Vacuous { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("\n  worker panicked at "), "{text}");
}

#[test]
fn a_panic_that_a_property_minds_is_shrunk_to_what_brings_it_about() {
    let system = with_a_frail_task("frail, and minds").property(NoPanic);
    match system.try_check() {
        Err(CheckError::Broken(report)) => {
            assert_eq!(report.property, "no-panic");
            assert_eq!(report.faults.len(), 1, "{report}");
            let told = "worker panicked: a lease is held already, at ";
            assert!(report.promise_broken.starts_with(told), "{report}");
        }
        other => panic!("{other:?}"),
    }
}
