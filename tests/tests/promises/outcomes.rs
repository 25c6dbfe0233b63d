//! How a check ends: its error tells a broken property from one that was never tested.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::Just;
use stormglass::check::CheckError;
use stormglass::checker::{Convergence, NoPanic, Property, Verdict, Witness};
use stormglass::history::History;
use stormglass::plan::FaultKind;
use stormglass::simulation::{Recording, run};
use stormglass::{Machine, Seed, System, narrate};
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

/// A service that tells what number its process gives to its start.
#[test]
fn a_failure_that_does_not_repeat_says_so_and_is_not_kept() {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    async fn serve(machine: Machine) -> Result<(), String> {
        tracing::info!("start {}", STARTS.fetch_add(1, Ordering::Relaxed));
        assert!(machine.incarnation() < 2, "the second start is too much");
        std::future::pending().await
    }
    async fn nothing(_: u8) -> Result<(), String> {
        Ok(())
    }
    let system = System::new("numbered")
        .host("worker", serve)
        .operations(|| Just(0_u8), nothing)
        .property(NoPanic);
    match system.try_check() {
        Err(CheckError::Broken(report)) => {
            let note = report.note.as_deref().unwrap_or_default();
            assert!(note.starts_with("it does not repeat: "), "{report}");
            assert_eq!(report.keep_as, None);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_never_happened_in_a_run_that_was_quiet_may_only_have_been_late() {
    let system = with_a_frail_task("frail, and late").property(Indifferent);
    let plan = system.plan(Seed(0)).unwrap();
    let run = run(&system, &plan, Recording::On).unwrap();
    for (rule, is_noted) in [("lost", true), ("twice", false)] {
        let witness = Witness {
            rule: rule.to_owned(),
            ..Witness::default()
        };
        let report = narrate::failure(&system, &plan, &run, "operation-once", &witness);
        let told = "the run ended 1.5 s after the last thing that was owed";
        let is_told = report.note.is_some_and(|note| note.starts_with(told));
        assert_eq!(is_told, is_noted, "{rule}");
    }
}
