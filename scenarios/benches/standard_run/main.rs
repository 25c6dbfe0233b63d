//! What one run costs in processor time: the standard run, the same without recording and checking, and the floor, which
//! is the same shop without a simulation.
//!
//! The standard run has twenty orders, all services and all kinds of fault. Quote the ratio, not the times: it holds on
//! any machine.

mod floor;
mod processor_time;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, criterion_group, criterion_main};
use processor_time::ProcessorTime;
use scenarios::Scenario;
use stormglass::plan::{Load, Plan};
use stormglass::simulation::{Recording, Run, run};
use stormglass::{Seed, System};

/// How many plans are run in turn, so that one lucky schedule does not decide.
const PLANS: u64 = 16;

fn standard_system() -> System {
    let everything = Scenario::find("everything").expect("the catalogue has everything");
    let load = Load {
        operations_min: 20,
        operations_max: 20,
        ..Load::default()
    };
    everything.system().load(load)
}

fn plans(system: &System) -> Vec<Plan> {
    let generator = system.generator().expect("the system runs without faults");
    (0..PLANS).map(|seed| generator.plan(Seed(seed))).collect()
}

fn standard_run(system: &System, plan: &Plan) -> Run {
    let run = run(system, plan, Recording::On).expect("a standard run comes to a result");
    black_box(system.judge(&run.history));
    run
}

/// How many hosts have a part in a run.
fn hosts(run: &Run) -> usize {
    let hosts = run.history.events.iter().map(|event| &event.host);
    hosts.collect::<BTreeSet<_>>().len()
}

fn standard(criterion: &mut Criterion<ProcessorTime>) {
    let system = standard_system();
    let plans = plans(&system);
    for plan in &plans {
        let run = standard_run(&system, plan);
        println!(
            "{}: {:.1} s of virtual time, {} hosts, {} events of history",
            plan.seed,
            run.elapsed.as_secs_f64(),
            hosts(&run),
            run.history.events.len(),
        );
    }
    let mut group = criterion.benchmark_group("one run");
    group
        .sample_size(2 * PLANS as usize)
        .measurement_time(Duration::from_secs(20));
    let mut turn = plans.iter().cycle();
    let mut next = || turn.next().expect("a cycle does not end");
    group.bench_function("standard", |bencher| {
        bencher.iter_batched(
            &mut next,
            |plan| standard_run(&system, plan),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("without recording and checking", |bencher| {
        let unrecorded =
            |plan| run(&system, plan, Recording::Off).expect("a run comes to a result");
        bencher.iter_batched(&mut next, unrecorded, BatchSize::PerIteration);
    });
    // It takes as long as its orders come in.
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let mut orders = plans.iter().map(floor::orders).cycle();
    let mut next = || orders.next().expect("a cycle does not end");
    group.bench_function("floor", |bencher| {
        bencher.iter_batched(
            &mut next,
            |orders| floor::shop(&orders),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = standard
}
criterion_main!(benches);
