//! Stacks: threads of runs have those of threads that have ended, and notice nothing.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use stormglass_machine::{Ending, Settings, run};

/// Whether this process was started to overflow a stack.
const OVERFLOWS: &str = "STACK_OVERFLOWS";

/// Where on its stack the current thread is.
fn place() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}

/// What threads of one process tell, one after the other has ended, each begun by `begin`.
fn told_in_turn(
    count: usize,
    begin: impl Fn(Box<dyn FnOnce() + Send>) -> JoinHandle<()> + Send + 'static,
    end: impl Fn(JoinHandle<()>) + Send + 'static,
) -> Vec<usize> {
    let (tell, told) = mpsc::channel();
    run(Settings::of([1; 32]), move |machine| {
        machine.start("ada", &[], move || {
            for _ in 0..count {
                let tell = tell.clone();
                end(begin(Box::new(move || tell.send(place()).unwrap())));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    })
    .unwrap();
    told.iter().collect()
}

/// A size that no other test asks for, so that nobody takes the stack meanwhile.
fn sized(size: usize) -> impl Fn(Box<dyn FnOnce() + Send>) -> JoinHandle<()> + Send + 'static {
    move |work| {
        std::thread::Builder::new()
            .stack_size(size)
            .spawn(work)
            .unwrap()
    }
}

#[test]
fn who_begins_after_another_was_joined_has_its_stack() {
    let places = told_in_turn(200, sized(3 << 20), |thread| thread.join().unwrap());
    assert_eq!(places.len(), 200);
    assert_eq!(BTreeSet::from_iter(places).len(), 1);
}

#[test]
fn who_begins_after_another_that_nobody_joins_has_its_stack() {
    let places = told_in_turn(200, sized(5 << 20), drop);
    assert_eq!(places.len(), 200);
    // The operating system may not be done with one when the next begins.
    assert!(BTreeSet::from_iter(places).len() <= 20);
}

#[test]
fn stacks_outlive_their_run() {
    let begin = || sized(7 << 20);
    let first = told_in_turn(1, begin(), drop);
    assert_eq!(told_in_turn(1, begin(), drop), first);
}

#[test]
fn a_thread_has_as_large_a_stack_as_it_was_to_have() {
    /// Uses about as many bytes of the stack.
    fn dig(bytes: usize) -> u8 {
        let held = std::hint::black_box([1_u8; 64 << 10]);
        let further = bytes.checked_sub(held.len()).map_or(0, dig);
        std::hint::black_box(&held)[further as usize]
    }
    const SIZE: usize = 64 << 20;
    run(Settings::of([1; 32]), |machine| {
        machine.start("ada", &[], || {
            let deep = std::thread::Builder::new().stack_size(SIZE);
            let deep = deep.spawn(|| dig(SIZE - (2 << 20))).unwrap();
            assert_eq!(deep.join().unwrap(), 1);
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    })
    .unwrap();
}

#[test]
fn a_thread_may_be_joined_or_left_after_its_run() {
    for _ in 0..50 {
        let (tell, told) = mpsc::channel();
        run(Settings::of([1; 32]), move |machine| {
            machine.start("ada", &[], move || {
                for number in 0..4 {
                    tell.send(std::thread::spawn(move || number)).unwrap();
                }
            });
            assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
        })
        .unwrap();
        let mut threads = told.iter();
        assert_eq!(threads.next().unwrap().join().unwrap(), 0);
        drop(threads.next());
        assert_eq!(threads.next().unwrap().join().unwrap(), 2);
        std::mem::forget(threads.next());
    }
}

#[test]
fn who_grows_beyond_its_stack_is_told_so() {
    #[expect(unconditional_recursion, reason = "that is what happens to them")]
    fn fall(depth: u64) -> u64 {
        std::hint::black_box(fall(std::hint::black_box(depth) + 1)) + 1
    }
    if std::env::var_os(OVERFLOWS).is_some() {
        let result = run(Settings::of([1; 32]), |machine| {
            machine.start("ada", &[], || {
                let named = std::thread::Builder::new().name("falls".to_owned());
                let named = named.spawn(|| fall(0)).unwrap();
                let _ = named.join();
            });
            machine.wait_for_end("ada");
        });
        unreachable!("{result:?}");
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("stacks::who_grows_beyond_its_stack_is_told_so")
        .env(OVERFLOWS, "yes")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("has overflowed its stack"), "{told}");
}

#[test]
fn a_thread_with_a_stack_that_nobody_has_room_for_is_refused() {
    run(Settings::of([1; 32]), |machine| {
        machine.start("ada", &[], || {
            for size in [1 << 60, usize::MAX - (1 << 20)] {
                let huge = std::thread::Builder::new().stack_size(size);
                assert!(huge.spawn(|| ()).is_err(), "{size}");
            }
            std::thread::spawn(|| ()).join().unwrap();
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    })
    .unwrap();
}
