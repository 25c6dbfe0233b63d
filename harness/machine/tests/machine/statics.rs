//! What crates draw at random, or keep in statics: what of it repeats, and what does not.
#![expect(
    clippy::disallowed_types,
    reason = "that its order repeats is what is tested"
)]

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

use stormglass_machine::{Ending, Settings, lacks, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::{NoContext, Timestamp, Uuid};

/// What each of two hosts draws, in a run of its own that no other one may have an effect on.
fn drawn<T: Send + 'static>(seed: u8, draw: fn() -> T) -> Vec<T> {
    let drawn = run(Settings::of([seed; 32]), move |machine| {
        let (tell, told) = mpsc::channel();
        for name in ["one", "two"] {
            let tell = tell.clone();
            machine.start(name, &[], move || {
                tell.send(draw()).unwrap();
                // A thread has a state of its own.
                let tell = tell.clone();
                let helper = std::thread::Builder::new().name("helper".to_owned());
                let helper = helper.spawn(move || tell.send(draw()).unwrap());
                helper.unwrap().join().unwrap();
            });
            assert_eq!(machine.wait_for_end(name), Some(Ending::Returned));
        }
        drop(tell);
        told.iter().collect()
    });
    drawn.unwrap()
}

/// Two runs of one seed draw the same one after the other, also when another one came between them, and
/// beside one another; and a run of another seed does not.
fn repeats<T: Send + PartialEq + std::fmt::Debug + 'static>(draw: fn() -> T) {
    let first = drawn(1, draw);
    let other = drawn(2, draw);
    assert_eq!(first, drawn(1, draw));
    assert_ne!(first, other);
    assert_ne!(first[0], first[2]);
    let beside = [1, 2, 1].map(|seed| std::thread::spawn(move || drawn(seed, draw)));
    let [one, two, three] = beside.map(|run| run.join().unwrap());
    assert_eq!([&first, &other, &first], [&one, &two, &three]);
}

#[test]
fn hash_order_repeats() {
    repeats(|| {
        let map: HashMap<i32, ()> = (0..50).map(|key| (key, ())).collect();
        map.into_keys().collect::<Vec<_>>()
    });
}

#[test]
fn random_uuids_repeat() {
    repeats(Uuid::new_v4);
}

#[test]
fn uuids_of_a_time_repeat_without_a_context() {
    repeats(|| Uuid::new_v7(Timestamp::now(NoContext)));
}

#[test]
fn fastrand_repeats() {
    repeats(|| [fastrand::u64(..), fastrand::u64(..)]);
}

#[cfg(tokio_unstable)]
#[test]
fn choices_of_select_repeat() {
    /// Which of eight futures is taken that are all ready.
    async fn selected() -> u8 {
        use std::future::ready;
        tokio::select! {
            own = ready(0) => own, own = ready(1) => own, own = ready(2) => own, own = ready(3) => own,
            own = ready(4) => own, own = ready(5) => own, own = ready(6) => own, own = ready(7) => own,
        }
    }
    fn choices(seed: u8) -> Vec<Vec<u8>> {
        let (tell, told) = mpsc::channel();
        run(Settings::of([seed; 32]), move |machine| {
            for name in ["one", "two"] {
                let tell = tell.clone();
                machine.start_service(name, &[], move || async move {
                    let mut all = Vec::new();
                    for _ in 0..32 {
                        all.push(selected().await);
                    }
                    tell.send(all).unwrap();
                });
                machine.wait_for_end(name);
            }
        })
        .unwrap();
        told.iter().collect()
    }
    let first = choices(1);
    assert_ne!(first, choices(2));
    assert_ne!(first[0], first[1]);
    let beside = [1, 1].map(|seed| std::thread::spawn(move || choices(seed)));
    assert_eq!(
        beside.map(|run| run.join().unwrap()),
        [first.clone(), first]
    );
}

#[test]
fn what_the_clock_of_the_process_remembers_is_not_forgotten_between_runs() {
    // The one after it has a time that lies before the last one of the first run.
    let draw = || {
        let early = Uuid::now_v7();
        std::thread::sleep(Duration::from_secs(60));
        (early, Uuid::now_v7())
    };
    // If they ever repeat, the documentation says too little in their favour.
    assert_ne!(drawn(1, draw), drawn(1, draw));
}

#[test]
fn a_build_that_lacks_what_tokio_needs_says_so() {
    let lacks = lacks();
    assert_eq!(lacks.is_none(), cfg!(tokio_unstable));
    assert!(lacks.is_none_or(|text| text.contains("--cfg")));
}

#[test]
fn what_runtimes_share_is_made_outside_of_runs() {
    const IS_CHILD: &str = "STORMGLASS_MACHINE_TEST_SHARED";
    if std::env::var(IS_CHILD).is_err() {
        // In this process another test may have made it already.
        let name = "statics::what_runtimes_share_is_made_outside_of_runs";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", name]).env(IS_CHILD, "1");
        return assert!(child.status().unwrap().success());
    }
    for _ in 0..2 {
        run(Settings::of([1; 32]), |machine| {
            machine.start_service("host", &[], || async {
                let told = tokio::signal::ctrl_c();
                let second = Duration::from_secs(1);
                tokio::time::timeout(second, told).await.unwrap_err();
            });
            assert_eq!(machine.wait_for_end("host"), Some(Ending::Returned));
        })
        .unwrap();
    }
}

/// In which order the connections of tasks come to their end that a service leaves unfinished.
fn order_of_ends() -> Vec<u8> {
    let ended = run(Settings::of([5; 32]), |machine| {
        let (tell, told) = mpsc::channel();
        machine.start_service("server", &[], move || async move {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                tokio::spawn(async move {
                    let name = stream.read_u8().await.unwrap();
                    let _ = stream.read_u8().await;
                    tell.send(name).unwrap();
                });
            }
        });
        machine.sleep(Duration::from_millis(5));
        machine.start_service("client", &[], || async {
            for name in 0..8 {
                let mut stream = TcpStream::connect("server:7").await.unwrap();
                tokio::spawn(async move {
                    stream.write_u8(name).await.unwrap();
                    std::future::pending::<()>().await;
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        });
        machine.wait_for_end("client");
        machine.sleep(Duration::from_millis(100));
        told.try_iter().collect()
    });
    ended.unwrap()
}

#[test]
fn tasks_end_in_the_same_order_whatever_the_process_has_run_before() {
    let first = order_of_ends();
    assert_eq!(first.len(), 8);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for _ in 0..4 {
        // One task more that the real process has had.
        runtime.block_on(async { tokio::spawn(async {}).await.unwrap() });
        assert_eq!(order_of_ends(), first);
    }
}
