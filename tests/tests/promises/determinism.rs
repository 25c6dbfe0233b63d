//! One seed, one history: in any company, and whatever the system does with time and chance.
//!
//! This package is downstream of the harness, so it also shows that the linker brings the harness'
//! clock and randomness to programs that only depend on it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use scenarios::Scenario;
use stormglass::history::{Digest, What};
use stormglass::simulation::{Recording, Settings, run};
use stormglass::{Machine, Seed, System};
use stormglass_tests::postings::{self, Care};
use tokio::time::sleep;
use uuid::Uuid;

const SCENARIOS: [&str; 5] = [
    "calm",
    "duplicates-jetstream",
    "partitions",
    "everything",
    "everything-jetstream",
];
const SEEDS: u64 = 3;

type Digests = BTreeMap<(&'static str, Seed), Digest>;

fn digest(name: &'static str, seed: Seed) -> ((&'static str, Seed), Digest) {
    let system = Scenario::find(name).unwrap().system();
    let digest = stormglass::audit::digest(&system, seed).unwrap();
    ((name, seed), digest)
}

#[test]
fn a_digest_does_not_depend_on_order_or_company() {
    let every = || SCENARIOS.map(|name| (0..SEEDS).map(move |seed| (name, Seed(seed))));
    let alone: Digests = every()
        .into_iter()
        .flatten()
        .map(|(name, seed)| digest(name, seed))
        .collect();
    let crowded: Digests = std::thread::scope(|scope| {
        let threads: Vec<_> = every()
            .into_iter()
            .rev()
            .map(|seeds| {
                scope.spawn(|| {
                    let latest_first = seeds.rev();
                    let digests = latest_first.map(|(name, seed)| digest(name, seed));
                    digests.collect::<Vec<_>>()
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.flatten().collect()
    });
    assert_eq!(alone, crowded);
    let different: HashSet<String> = alone.values().map(ToString::to_string).collect();
    assert_eq!(different.len(), alone.len(), "other seeds, other histories");
}

#[test]
fn an_unrecorded_run_is_the_same_run() {
    let system = postings::system("postings", Care::Careful);
    for seed in (0..3).map(Seed) {
        let plan = system.plan(seed).unwrap();
        let recorded = run(&system, &plan, Recording::On).unwrap();
        let unrecorded = run(&system, &plan, Recording::Off).unwrap();
        assert_eq!(recorded.elapsed, unrecorded.elapsed);
        assert_eq!(recorded.bitten, unrecorded.bitten);
        assert!(unrecorded.history.events.is_empty());
    }
}

#[test]
fn time_in_a_history_never_goes_back() {
    let mut restarts = 0;
    for name in ["consumer-crashes", "everything"] {
        let system = Scenario::find(name).unwrap().system();
        for seed in (0..8).map(Seed) {
            let run = stormglass::audit::recorded(&system, seed).unwrap();
            let mut latest = Duration::ZERO;
            for event in &run.history.events {
                let at = event.at;
                assert!(at >= latest, "{name} {seed}, after {latest:?}: {event}");
                latest = latest.max(at);
                restarts += u32::from(event.what == What::HostStarted { incarnation: 2 });
            }
            assert!(latest <= run.elapsed);
        }
    }
    assert!(restarts > 0, "no host was started again");
}

/// A system of one host, which has something to say.
fn speaker<F, Fut>(speak: F) -> System
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = String> + 'static,
{
    System::new("speaker")
        .host("speaker", move |_: Machine| {
            let speech = speak();
            async move {
                sleep(Duration::from_millis(20)).await;
                tracing::info!("{}", speech.await);
                std::future::pending::<Result<(), String>>().await
            }
        })
        .operations(
            || proptest::strategy::Just(0_u8),
            |_: u8| async { Ok::<(), String>(()) },
        )
}

/// What the speaker says first under a seed.
fn speech(system: &System, seed: u64) -> String {
    let run = stormglass::audit::recorded(system, Seed(seed)).unwrap();
    let said = |what: &What| match what {
        What::Logged { message, .. } => Some(message.clone()),
        _ => None,
    };
    let mut events = run.history.events.iter();
    events.find_map(|event| said(&event.what)).unwrap()
}

/// Shows that a speech repeats with the seed, and differs between some of ten seeds.
fn repeats_with_the_seed(system: &System) {
    let speeches: Vec<String> = (0..10).map(|seed| speech(system, seed)).collect();
    let again: Vec<String> = (0..10).map(|seed| speech(system, seed)).collect();
    assert_eq!(speeches, again);
    let different: HashSet<&String> = speeches.iter().collect();
    assert!(
        different.len() > 1,
        "all seeds are the same: {}",
        speeches[0]
    );
}

#[test]
fn hash_order_repeats_with_the_seed() {
    repeats_with_the_seed(&speaker(|| async {
        let map: HashMap<u32, ()> = (0..30).map(|key| (key, ())).collect();
        format!("{:?}", map.keys())
    }));
}

#[test]
fn random_ids_repeat_with_the_seed() {
    repeats_with_the_seed(&speaker(|| async { Uuid::new_v4().to_string() }));
}

#[test]
fn the_choices_of_select_repeat_with_the_seed() {
    repeats_with_the_seed(&speaker(|| async {
        let mut chosen = String::new();
        for _ in 0..24 {
            chosen.push(tokio::select! {
                () = async {} => 'a',
                () = async {} => 'b',
                () = async {} => 'c',
            });
        }
        chosen
    }));
}

#[test]
fn clocks_show_virtual_time_and_nothing_else() {
    let system = speaker(|| async {
        let (began, woke) = (SystemTime::now(), Instant::now());
        // Real work takes no time, a sleep takes what it says.
        let work: u64 = (0..100_000).map(std::hint::black_box).sum();
        let idle = woke.elapsed();
        std::thread::sleep(Duration::from_secs(work % 2 + 1_800));
        sleep(Duration::from_secs(1_800)).await;
        let since_1970 = began.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let (slept, on_the_wall) = (woke.elapsed(), began.elapsed().unwrap());
        format!("{since_1970:?} {idle:?} {slept:?} {on_the_wall:?}")
    });
    let hour_long = Settings {
        quiet: Duration::from_secs(3_700),
        liveness_bound: Duration::from_secs(3_800),
        ..Settings::default()
    };
    let said = speech(&system.settings(hour_long).faults(&[]), 1);
    let [since_1970, idle, slept, on_the_wall] =
        said.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert!(since_1970.starts_with("1767225600."), "{said}");
    assert_eq!(idle, "0ns", "{said}");
    assert!(slept == "3600s", "{said}");
    assert_eq!(slept, on_the_wall, "{said}");
}

#[test]
fn threads_of_a_service_see_virtual_time_too() {
    repeats_with_the_seed(&speaker(|| async {
        let thread = std::thread::spawn(|| (SystemTime::now(), Uuid::new_v4()));
        let (clock, chance) = thread.join().unwrap();
        let since_1970 = clock.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since_1970.as_millis(), 1_767_225_600_020);
        format!("{chance}")
    }));
}

#[test]
fn a_leak_from_run_to_run_is_named() {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let leaky = speaker(|| async {
        // What is static is shared by all runs.
        format!("a counter shows {}", RUNS.fetch_add(1, Ordering::Relaxed))
    });
    let divergence = stormglass::audit::audit(&leaky, Seed(1)).unwrap();
    let divergence = divergence.expect("two runs read different counts");
    for event in [&divergence.recorded, &divergence.came] {
        let event = event.as_deref().unwrap();
        assert!(event.contains("a counter shows"), "{event}");
    }
    let text = divergence.to_string();
    assert!(text.contains("a counter shows"), "{text}");
    assert!(
        text.contains(&format!("event #{}", divergence.index)),
        "{text}"
    );
}

#[test]
fn a_system_without_leaks_passes_the_audit() {
    let system = postings::system("postings", Care::Careful);
    for seed in (0..5).map(Seed) {
        assert_eq!(stormglass::audit::audit(&system, seed).unwrap(), None);
    }
}
