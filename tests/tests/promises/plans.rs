//! Properties of plans, over many of them.
//!
//! The cases are drawn from a fixed stream, so that a test that passes goes on passing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use scenarios::Scenario;
use stormglass::checker::Verdict;
use stormglass::database::Engine;
use stormglass::history::What;
use stormglass::plan::{Action, Aim, Fault, FaultKind, Incident, Plan};
use stormglass::shrink::{Limits, breaks, shrink};
use stormglass::simulation::{Recording, Run, run};
use stormglass::{Profile, Seed, System};
use stormglass_tests::postings::{self, Care};

/// Shows that `test` holds for so many cases of `strategy`.
fn for_all<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(strategy, test);
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

fn careful() -> System {
    postings::system("postings", Care::Careful)
}

fn recorded(system: &System, plan: &Plan) -> Run {
    run(system, plan, Recording::On).unwrap()
}

/// A plan, and the same plan without some of its faults.
fn plan_and_part(system: &System) -> impl Strategy<Value = (Plan, Plan)> + use<> {
    let plans = system.generator().unwrap().strategy();
    (plans, any::<u32>()).prop_map(|(plan, kept)| {
        let mut part = plan.clone();
        let mut index = 0;
        part.schedule.retain(|_| {
            index += 1;
            kept >> (index % 32) & 1 == 1
        });
        (plan, part)
    })
}

#[test]
fn a_plan_reads_back_from_json() {
    let everything = Scenario::find("everything").unwrap().system();
    let plans = everything.generator().unwrap().strategy();
    for_all(200, &plans, |plan| {
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
        Ok(())
    });
}

#[test]
fn every_kind_of_fault_is_planned() {
    let everything = Scenario::find("everything").unwrap().system();
    let everything = everything.on(Engine::Sqlite);
    let generator = everything.generator().unwrap();
    let mut kinds = BTreeSet::new();
    for seed in (0..300).map(Seed) {
        kinds.extend(generator.plan(seed).schedule.iter().map(Fault::kind));
    }
    let possible: BTreeSet<FaultKind> = everything.fault_kinds().into_iter().collect();
    assert_eq!(kinds, possible);
    let on_a_server = everything.on(Engine::Postgres).fault_kinds();
    assert_eq!(on_a_server, FaultKind::ALL);
}

#[test]
fn kinds_of_fault_never_change_the_workload() {
    let kinds = proptest::sample::subsequence(FaultKind::ALL, 0..=FaultKind::ALL.len());
    let system = careful();
    for_all(60, &(any::<u64>(), kinds), |(seed, kinds)| {
        let all = system.plan(Seed(seed)).unwrap();
        let some = system.clone().faults(&kinds).plan(Seed(seed)).unwrap();
        prop_assert_eq!(all.workload, some.workload);
        Ok(())
    });
}

/// When which operation was sent.
fn invoked(run: &Run) -> Vec<(std::time::Duration, &str)> {
    let events = run.history.events.iter();
    let invoked = events.filter_map(|event| match &event.what {
        What::OperationInvoked { text, .. } => Some((event.at, text.as_str())),
        _ => None,
    });
    invoked.collect()
}

#[test]
fn dropped_faults_never_change_what_clients_ask_for() {
    let system = careful();
    for_all(15, &plan_and_part(&system), |(plan, part)| {
        let (whole, part) = (recorded(&system, &plan), recorded(&system, &part));
        prop_assert_eq!(invoked(&whole), invoked(&part));
        prop_assert_eq!(invoked(&whole).len(), plan.workload.len());
        Ok(())
    });
}

#[test]
fn a_plan_runs_the_same_twice() {
    let system = careful();
    for_all(10, &plan_and_part(&system), |(_, part)| {
        let (first, second) = (recorded(&system, &part), recorded(&system, &part));
        prop_assert_eq!(first.digest(), second.digest());
        prop_assert_eq!(first.bitten, second.bitten);
        Ok(())
    });
}

#[test]
fn no_plan_breaks_a_correct_system() {
    for profile in [Profile::kafka(), Profile::jetstream()] {
        let system = careful().broker(profile);
        for_all(40, &plan_and_part(&system), |(plan, part)| {
            for plan in [plan, part] {
                let run = recorded(&system, &plan);
                for (property, verdict) in system.judge(&run.history) {
                    let witness = match verdict {
                        Verdict::Broken(witness) => Some(witness),
                        Verdict::Holds | Verdict::Vacuous(_) => None,
                    };
                    prop_assert!(witness.is_none(), "{}: {:?}\n{}", property, witness, plan);
                }
            }
            Ok(())
        });
    }
}

/// The careful or the careless ledger, one to three of it.
fn several(care: Care) -> System {
    postings::system("several postings", care).instances("ledger", 1..=3)
}

/// The hosts that a run started, but for the harness' own.
fn started(run: &Run) -> BTreeSet<&str> {
    let events = run.history.events.iter();
    let started = events.filter(|event| matches!(event.what, What::HostStarted { .. }));
    let hosts = started.map(|event| &*event.host);
    hosts
        .filter(|host| !["broker", "client"].contains(host))
        .collect()
}

#[test]
fn a_plan_runs_as_many_instances_as_it_says() {
    let system = several(Care::Careful);
    let hosts = ["ledger", "ledger-2", "ledger-3"];
    let mut numbers = BTreeSet::new();
    let mut struck = BTreeSet::new();
    for plan in (0..30).map(|seed| system.plan(Seed(seed)).unwrap()) {
        let number = plan.instances_of("ledger");
        numbers.insert(number);
        for fault in &plan.schedule {
            let aimed = fault.call().map(|(host, ..)| host.to_owned());
            struck.extend(aimed.filter(|host| host != "client"));
        }
        let run = recorded(&system, &plan);
        assert_eq!(
            started(&run),
            hosts[..number as usize].iter().copied().collect()
        );
        for (property, verdict) in system.judge(&run.history) {
            assert!(
                verdict.witness().is_none(),
                "{property}: {verdict:?}\n{plan}"
            );
        }
    }
    assert_eq!(numbers, [1, 2, 3].into());
    assert_eq!(struck, hosts.map(str::to_owned).into());
}

#[test]
fn a_failure_is_shrunk_towards_one_instance() {
    let system = several(Care::Careless);
    let plans = (0..60).map(|seed| system.plan(Seed(seed)).unwrap());
    let mut failures = 0;
    for plan in plans.filter(|plan| plan.instances_of("ledger") > 1) {
        if let Some(shrunk) = shrink(&system, &plan, "effect-once", &Limits::of_runs(200)).unwrap()
        {
            failures += 1;
            let left = &shrunk.run.plan;
            assert!(
                left.instances_of("ledger") < 3 || !shrunk.one_minimal,
                "{left}"
            );
        }
    }
    assert!(failures >= 2, "{failures} plans failed");
}

/// Whether `part` is what `whole` has at most left after shrinking: the same action, aimed at the
/// same call of the same host, no later than it was. A fault at a time may wait for a call; a crash,
/// a lost machine or a pause, for a call of the host that it strikes. The only one that is left may wait for another
/// call than it did, as a crash at a commit may do alone, at a settlement, what took several.
fn is_aimed_anew(whole: &Fault, part: &Fault, is_alone: bool) -> bool {
    let befalls = |incident: &Incident, host: &str| match incident {
        Incident::Crash { host: own, .. }
        | Incident::MachineLoss { host: own, .. }
        | Incident::Pause { host: own, .. } => own == host,
        _ => true,
    };
    let sooner = part.at_ms <= whole.at_ms;
    let at_once = whole.call().is_none() && part.at_ms == whole.at_ms;
    sooner
        && match (&whole.action, &part.action) {
            (
                Action::Incident { incident, on },
                Action::Incident {
                    incident: own,
                    on: left,
                },
            ) => {
                let aimed = match (on, left) {
                    (None, None) => at_once,
                    (None, Some(aim)) => befalls(incident, &aim.host),
                    (Some(_), None) => false,
                    (Some(whole), Some(part)) => {
                        let aim = |aim: &Aim| (aim.host.clone(), aim.call, aim.side);
                        aim(whole) == aim(part) || is_alone && befalls(incident, &part.host)
                    }
                };
                incident == own && aimed
            }
            (
                Action::Strike { host, strike, .. },
                Action::Strike {
                    host: own,
                    strike: left,
                    ..
                },
            ) => host == own && strike == left,
            _ => false,
        }
}

/// Whether every element of `part` has a partner in `whole`, in the same order.
fn is_subsequence<T>(whole: &[T], part: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|own| rest.any(|other| same(other, own)))
}

#[test]
fn a_shrunk_plan_is_a_part_of_the_original() {
    let system = postings::system("careless postings", Care::Careless);
    let failures = std::cell::Cell::new(0);
    for_all(12, &system.generator().unwrap().strategy(), |plan| {
        let Some(shrunk) = shrink(&system, &plan, "effect-once", &Limits::of_runs(200)).unwrap()
        else {
            return Ok(());
        };
        failures.set(failures.get() + 1);
        let part = &shrunk.run.plan;
        prop_assert!(breaks(&system, &shrunk.run, "effect-once"));
        prop_assert_eq!(part.seed, plan.seed);
        prop_assert!(is_subsequence(
            &plan.workload,
            &part.workload,
            |whole, part| whole == part
        ));
        prop_assert!(
            is_subsequence(&plan.schedule, &part.schedule, |whole, left| {
                is_aimed_anew(whole, left, part.schedule.len() == 1)
            }),
            "{}\nis not a part of\n{}",
            part,
            plan
        );
        Ok(())
    });
    assert!(failures.get() >= 3, "{} plans failed", failures.get());
}

/// A fault shortly before the ledger enters its last posting, at a time that holds for this workload
/// only.
fn before_last_entry(system: &System, seed: Seed, incident: Incident) -> Plan {
    let mut plan = system.plan(seed).unwrap().without_faults();
    let calm = run(system, &plan, Recording::On).unwrap();
    let mut latest_first = calm.history.events.iter().rev();
    let entered = latest_first.find(|event| matches!(event.what, What::Committed { .. }));
    let at = entered.map(|event| event.at).unwrap_or_default();
    let at_ms = u64::try_from(at.as_millis()).unwrap() - 1;
    plan.schedule.push(Fault::at(at_ms, incident));
    plan
}

/// Shows that one posting is enough wherever this fault makes the careless ledger enter one twice.
fn one_posting_is_left(incident: &Incident) {
    let system = postings::system("careless postings", Care::Careless);
    let mut failures = 0;
    for seed in (0..20).map(Seed) {
        let plan = before_last_entry(&system, seed, incident.clone());
        if let Some(shrunk) = shrink(&system, &plan, "effect-once", &Limits::of_runs(200)).unwrap()
        {
            failures += 1;
            let left = &shrunk.run.plan;
            assert_eq!(left.workload.len(), 1, "{left}");
            assert!(shrunk.one_minimal, "{left}");
        }
    }
    assert!(failures >= 5, "{failures} plans failed");
}

#[test]
fn a_pause_at_a_time_holds_no_operations_back() {
    // It is long enough for the session to end meanwhile.
    one_posting_is_left(&Incident::Pause {
        host: "ledger".to_owned(),
        for_ms: 4_000,
    });
}

#[test]
fn an_outage_at_a_time_holds_no_operations_back() {
    one_posting_is_left(&Incident::BrokerOutage { for_ms: 600 });
}

/// Every plan with one element less.
fn one_less(plan: &Plan) -> Vec<Plan> {
    let faults = (0..plan.schedule.len()).map(|index| {
        let mut less = plan.clone();
        less.schedule.remove(index);
        less
    });
    let operations = (0..plan.workload.len()).map(|index| {
        let mut less = plan.clone();
        less.workload.remove(index);
        less
    });
    faults.chain(operations).collect()
}

#[test]
fn nothing_can_go_from_a_one_minimal_plan() {
    let system = postings::system("careless postings", Care::Careless);
    let mut minimal = 0;
    for plan in (0..24).map(|seed| system.plan(Seed(seed)).unwrap()) {
        let Some(shrunk) = shrink(&system, &plan, "effect-once", &Limits::of_runs(200)).unwrap()
        else {
            continue;
        };
        if shrunk.one_minimal {
            minimal += 1;
            for less in one_less(&shrunk.run.plan) {
                assert!(!breaks(&system, &recorded(&system, &less), "effect-once"));
            }
        }
    }
    assert!(minimal >= 3, "{minimal} plans are one-minimal");
}
