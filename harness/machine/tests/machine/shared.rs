//! Runs beside one another, and the statics that all of them share.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use stormglass_machine::{Ending, Settings, run};

#[test]
fn a_static_that_another_run_is_making_is_waited_for_in_no_time() {
    const RUNS: u8 = 4;
    static ARRIVED: AtomicU32 = AtomicU32::new(0);
    static MADE: AtomicU32 = AtomicU32::new(0);
    static SLOW: LazyLock<u32> = LazyLock::new(|| {
        MADE.fetch_add(1, Ordering::SeqCst);
        // Until every other run is about to wait for it, and as long as that takes.
        while ARRIVED.load(Ordering::SeqCst) < RUNS.into() {
            std::hint::spin_loop();
        }
        (0..5_000_000).fold(0, |sum: u32, number| {
            std::hint::black_box(sum.wrapping_add(number))
        })
    });
    let making: Vec<_> = (0..RUNS)
        .map(|seed| {
            std::thread::spawn(move || {
                run(Settings::of([seed; 32]), |machine| {
                    let began = std::time::SystemTime::now();
                    let (tell, told) = std::sync::mpsc::channel();
                    machine.start("maker", &[], move || {
                        ARRIVED.fetch_add(1, Ordering::SeqCst);
                        std::hint::black_box(*SLOW);
                        tell.send(std::time::SystemTime::now()).unwrap();
                    });
                    // Time would pass at once if the maker were taken for one that waits.
                    machine.sleep(Duration::from_secs(1));
                    let made = told.recv().unwrap();
                    made.duration_since(began).unwrap()
                })
                .unwrap()
            })
        })
        .collect();
    for own in making {
        assert_eq!(own.join().unwrap(), Duration::ZERO);
    }
    assert_eq!(MADE.load(Ordering::SeqCst), 1);
}

#[test]
fn a_lock_that_a_thread_outside_holds_is_waited_for() {
    let shared = Arc::new(Mutex::new(0));
    let is_held = Arc::new(AtomicBool::new(false));
    let outside = {
        let (shared, is_held) = (shared.clone(), is_held.clone());
        std::thread::spawn(move || {
            let mut held = shared.lock().unwrap();
            is_held.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
            *held += 1;
        })
    };
    while !is_held.load(Ordering::SeqCst) {
        std::hint::spin_loop();
    }
    let found = run(Settings::of([1; 32]), move |machine| {
        let found = Arc::new(Mutex::new(None));
        let own = found.clone();
        machine.start("host", &[], move || {
            *own.lock().unwrap() = Some(*shared.lock().unwrap());
        });
        assert_eq!(machine.wait_for_end("host"), Some(Ending::Returned));
        found.lock().unwrap().take()
    });
    assert_eq!(found.unwrap(), Some(1));
    outside.join().unwrap();
}
