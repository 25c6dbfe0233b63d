//! What a person reads: a timeline, the text of a failure, the first difference of two runs.
//!
//! The runs are real; only what varies from machine to machine (durations on the wall clock and the
//! artefact's folder) is replaced before it is compared.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use insta::assert_snapshot;
use stormglass::artefact::Divergence;
use stormglass::explore::{Exploration, Failure, Until, explore};
use stormglass::plan::{Fault, Operation, Plan, SettleFault};
use stormglass::shrink::Limits;
use stormglass::simulation::{Recording, Run, run};
use stormglass::{Seed, System, narrate};
use stormglass_tests::postings::{self, Care};

/// One posting, delivered twice.
fn delivered_twice() -> Plan {
    Plan {
        seed: Seed(7),
        chance: 0,
        instances: BTreeMap::new(),
        workload: vec![Operation {
            at_ms: 100,
            operation: serde_json::json!([7, "A", 250]),
        }],
        schedule: vec![Fault::strike(0, "ledger", 1, SettleFault::Duplicate)],
    }
}

fn told(system: &System) -> (Run, String) {
    let run = run(system, &delivered_twice(), Recording::On).unwrap();
    let verdicts = system.judge(&run.history);
    let timeline = narrate::timeline(system, &run, &verdicts).to_string();
    (run, timeline)
}

#[test]
fn timeline_of_a_careful_ledger() {
    let (_, timeline) = told(&postings::system("postings", Care::Careful));
    assert_snapshot!(timeline);
}

#[test]
fn timeline_of_a_careless_ledger() {
    let (_, timeline) = told(&postings::system("careless postings", Care::Careless));
    assert_snapshot!(timeline);
}

#[test]
fn plan_in_one_line_per_fault() {
    let system = postings::system("postings", Care::Careful);
    assert_snapshot!(system.plan(Seed(3)).unwrap().to_string());
}

fn first_failure(system: &System) -> Failure {
    let exploration = Exploration {
        first: Seed(0),
        seeds: 50,
        jobs: 1,
        until: Until::FirstFailure,
        interrupted: &AtomicBool::new(false),
        progress: &|| {},
    };
    let tally = explore(system, &exploration).unwrap();
    tally.first_failure().expect("a failure").clone()
}

#[test]
fn failure_of_a_careless_ledger() {
    let system = postings::system("careless postings", Care::Careless);
    let folder = tempfile::tempdir().unwrap();
    let mut report = system
        .report_into(
            &first_failure(&system),
            folder.path(),
            &Limits::default(),
            &|path| format!("STORMGLASS_REPLAY={} cargo test postings", path.display()),
        )
        .unwrap();
    report.shrink_ms = 1_900;
    let text = report.to_string();
    let folder = folder.path().display().to_string();
    assert!(text.contains(&folder), "{text}");
    assert_snapshot!(text.replace(&folder, "target/stormglass"));
}

#[test]
fn divergence_of_two_runs() {
    let (careful, _) = told(&postings::system("postings", Care::Careful));
    let (careless, _) = told(&postings::system("postings", Care::Careless));
    let lines = |run: &Run| stormglass::artefact::lines(&run.history);
    let divergence = Divergence::between(&lines(&careful), &lines(&careless));
    assert_snapshot!(divergence.expect("they differ").to_string());
}
