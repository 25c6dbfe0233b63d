//! What a shrink promises beyond smaller plans: the same kind of breach, an end in time, and what
//! each removal does. That the result is a part of the plan is for `plans` to show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use stormglass::checker::{Property, Verdict, Witness};
use stormglass::history::{Fact, History, What};
use stormglass::plan::{CommitFault, Fault, Load, Operation, Plan};
use stormglass::shrink::{Limits, Progress, Without, shrink};
use stormglass::{Seed, System};
use stormglass_tests::postings::{self, Care};

/// Postings at intervals, the first of which is entered twice because the answer to its commit is lost.
fn entered_twice(postings: u64) -> Plan {
    let posting = |number: u64| Operation {
        at_ms: 100 + number * 4,
        operation: serde_json::json!([number, "A", 250]),
    };
    Plan {
        seed: Seed(7),
        chance: 0,
        instances: BTreeMap::new(),
        workload: (0..postings).map(posting).collect(),
        schedule: vec![Fault::strike(0, "ledger", 1, CommitFault::AnswerLost)],
    }
}

/// Broken by one rule where there are few entries, and by another where there are many.
struct NoEntries;

impl Property for NoEntries {
    fn id(&self) -> &str {
        "no-entries"
    }

    fn promise(&self) -> &str {
        "nothing is ever entered"
    }

    fn check(&self, history: &History) -> Verdict {
        let entered = history.events.iter().filter(|event| {
            matches!(
                &event.what,
                What::Observed {
                    fact: Fact::Applied(_),
                    ..
                }
            )
        });
        let indexes: Vec<u64> = entered.map(|event| event.index).collect();
        let (rule, index) = match (indexes.get(4), indexes.first()) {
            (Some(fifth), _) => ("many", *fifth),
            (None, Some(first)) => ("few", *first),
            (None, None) => return Verdict::Vacuous("nothing was posted".to_owned()),
        };
        Verdict::Broken(Witness {
            rule: rule.to_owned(),
            summary: format!("{} entries", indexes.len()),
            index,
            ..Witness::default()
        })
    }
}

#[test]
fn a_shrunk_failure_breaks_the_same_rule() {
    let system = postings::system("postings", Care::Careful).property(NoEntries);
    for (postings, rule) in [(12, "many"), (3, "few")] {
        let plan = entered_twice(postings);
        let shrunk = shrink(&system, &plan, "no-entries", &Limits::of_runs(200));
        let shrunk = shrunk.unwrap().expect("it is broken");
        assert_eq!(shrunk.witness.rule, rule);
        let left = if rule == "many" { 5 } else { 1 };
        assert_eq!(shrunk.run.plan.workload.len(), left, "{}", shrunk.run.plan);
        assert!(shrunk.one_minimal);
        let without: BTreeSet<_> = shrunk.without_operation.iter().flatten().collect();
        let expected = match rule {
            "many" => Without::BrokenOtherwise,
            _ => Without::Vacuous,
        };
        assert_eq!(without, BTreeSet::from([&expected]));
    }
}

#[test]
fn each_removal_says_what_it_does() {
    let system = postings::system("careless postings", Care::Careless);
    let plan = entered_twice(4);
    let shrunk = shrink(&system, &plan, "effect-once", &Limits::of_runs(200));
    let shrunk = shrunk.unwrap().expect("it is broken");
    assert!(shrunk.one_minimal);
    assert_eq!(shrunk.without_fault, [Some(Without::Vacuous)]);
    assert_eq!(shrunk.without_operation, [Some(Without::Vacuous)]);
}

fn many(postings: u64) -> (System, Plan) {
    let load = Load {
        operations_min: 1,
        operations_max: 1,
        over_ms: 1,
        ..Load::default()
    };
    let system = postings::system("careless postings", Care::Careless).load(load);
    (system, entered_twice(postings))
}

#[test]
fn ten_thousand_operations_are_few_in_a_few_runs() {
    let (system, plan) = many(10_000);
    let told = Mutex::new(Vec::new());
    let limits = Limits {
        progress: &|progress: &Progress| told.lock().unwrap().push(*progress),
        ..Limits::of_runs(40)
    };
    let shrunk = shrink(&system, &plan, "effect-once", &limits).unwrap();
    let shrunk = shrunk.expect("it is broken");
    assert_eq!(shrunk.run.plan.workload.len(), 1);
    assert!(shrunk.one_minimal, "{} runs", shrunk.runs);
    let told = told.into_inner().unwrap();
    assert_eq!(told.len() + 1, shrunk.runs, "every run is reported");
    assert!(told.iter().all(|own| own.operations < 100), "{told:?}");
}

#[test]
fn a_shrink_without_time_keeps_what_it_has() {
    let (system, plan) = many(50);
    let limits = Limits {
        time_max: Duration::ZERO,
        ..Limits::default()
    };
    let begun = Instant::now();
    let shrunk = shrink(&system, &plan, "effect-once", &limits).unwrap();
    let shrunk = shrunk.expect("it is broken");
    assert_eq!((shrunk.runs, shrunk.one_minimal), (1, false));
    assert_eq!(shrunk.run.plan, plan);
    assert!(begun.elapsed() < Duration::from_secs(30));
}
