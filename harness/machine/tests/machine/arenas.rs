//! Arenas: threads of a run share none, so that runs beside each other do not wait for each other's.

#![expect(unsafe_code, reason = "the C library tells of its memory by C")]

use std::ffi::CStr;
use std::ptr::null_mut;
use std::time::Duration;

use stormglass_machine::{Ending, Settings, run};

/// More than the C library gives arenas to by itself on four cores.
const THREADS: usize = 40;

/// How many arenas the process has.
fn arenas() -> usize {
    let (mut text, mut length) = (null_mut(), 0);
    // SAFETY: a stream into memory that the C library makes, which is text once the stream is closed.
    let told = unsafe {
        let stream = libc::open_memstream(&raw mut text, &raw mut length);
        assert!(!stream.is_null());
        assert_eq!(libc::malloc_info(0, stream), 0);
        assert_eq!(libc::fclose(stream), 0);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    // SAFETY: the text is the caller's, and was copied.
    unsafe { libc::free(text.cast()) };
    told.matches("<heap nr=").count()
}

#[test]
fn every_thread_of_a_run_allocates_from_an_arena_of_its_own() {
    run(Settings::of([1; 32]), |machine| {
        machine.start_service("ada", &[], || async {
            let work = || {
                let held = vec![1_u8; 1_000];
                std::thread::sleep(Duration::from_secs(1));
                held.len()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| std::thread::spawn(work)).collect();
            for thread in threads {
                thread.join().unwrap();
            }
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    })
    .unwrap();
    assert!(arenas() > THREADS, "{} arenas", arenas());
}
