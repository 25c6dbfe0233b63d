//! Threads, and what they wait with.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant};

use super::{A_WHILE, Seen, same_on_both, same_on_both_async};

#[test]
fn a_thread_hands_back_its_result_or_its_panic() {
    same_on_both(|seen| {
        seen.note(std::thread::spawn(|| 7).join().unwrap());
        let panicking = std::thread::spawn(|| {
            std::panic::resume_unwind(Box::new("over"));
        });
        let panic = panicking.join().unwrap_err();
        seen.note(panic.downcast_ref::<&str>());
    });
}

#[test]
fn channels_wait_on_both_sides() {
    same_on_both(|seen| {
        let (sender, receiver) = sync_channel(1);
        let sending = std::thread::spawn(move || {
            for number in 0..5 {
                sender.send(number).unwrap();
            }
        });
        std::thread::sleep(A_WHILE);
        seen.note(receiver.iter().collect::<Vec<_>>());
        sending.join().unwrap();
        let (sender, receiver) = channel::<()>();
        seen.note(receiver.recv_timeout(A_WHILE) == Err(RecvTimeoutError::Timeout));
        drop(sender);
        seen.note(receiver.recv_timeout(A_WHILE) == Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn locks_and_conditions_are_waited_for() {
    same_on_both(|seen| {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let counting: Vec<_> = (0..4)
            .map(|_| {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let mut count = shared.0.lock().unwrap();
                    std::thread::sleep(Duration::from_millis(2));
                    *count += 1;
                    shared.1.notify_all();
                })
            })
            .collect();
        let (lock, changed) = &*shared;
        let mut count = lock.lock().unwrap();
        while *count < 4 {
            count = changed.wait(count).unwrap();
        }
        seen.note(*count);
        let (count, waited) = changed.wait_timeout(count, A_WHILE).unwrap();
        seen.note((*count, waited.timed_out()));
        drop(count);
        for own in counting {
            own.join().unwrap();
        }
    });
}

#[test]
fn scoped_threads_meet_at_a_barrier() {
    same_on_both(|seen| {
        let barrier = Barrier::new(3);
        let leaders = Mutex::new(0);
        let guarded = RwLock::new(0);
        std::thread::scope(|scope| {
            for number in 1..=3 {
                let (barrier, leaders, guarded) = (&barrier, &leaders, &guarded);
                scope.spawn(move || {
                    *guarded.write().unwrap() += number;
                    if barrier.wait().is_leader() {
                        *leaders.lock().unwrap() += 1;
                    }
                });
            }
        });
        seen.note((leaders.into_inner().unwrap(), guarded.into_inner().unwrap()));
    });
}

#[test]
fn a_parked_thread_goes_on_when_told() {
    same_on_both(|seen| {
        let parked = std::thread::spawn(|| {
            std::thread::park();
            std::thread::park_timeout(A_WHILE);
            "went on"
        });
        std::thread::sleep(A_WHILE);
        parked.thread().unpark();
        seen.note(parked.join().unwrap());
    });
}

#[test]
fn something_is_made_once() {
    same_on_both(|seen| {
        static ONCE: OnceLock<u32> = OnceLock::new();
        let making: Vec<_> = (0..3)
            .map(|_| {
                std::thread::spawn(|| {
                    *ONCE.get_or_init(|| {
                        std::thread::sleep(Duration::from_millis(2));
                        5
                    })
                })
            })
            .collect();
        let made: Vec<u32> = making.into_iter().map(|own| own.join().unwrap()).collect();
        seen.note(made);
    });
}

#[test]
fn thread_locals_are_dropped_while_others_still_see_their_effect() {
    same_on_both(|seen| {
        struct Last(Arc<Mutex<Vec<bool>>>, Instant);
        impl Drop for Last {
            fn drop(&mut self) {
                std::thread::sleep(Duration::from_millis(2));
                // It is still the thread's own clock that it looks at.
                let has_slept = self.1.elapsed() >= Duration::from_millis(2);
                self.0.lock().unwrap().push(has_slept);
            }
        }
        thread_local!(static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) });
        let said = Arc::new(Mutex::new(Vec::new()));
        let own = said.clone();
        let thread = std::thread::spawn(move || {
            LAST.with(|last| *last.borrow_mut() = Some(Last(own, Instant::now())));
        });
        thread.join().unwrap();
        seen.note(said.lock().unwrap().clone());
    });
}

#[test]
fn threads_that_are_dropping_their_locals_wait_for_one_another_and_for_others() {
    same_on_both(|seen| {
        type Ends = (SyncSender<&'static str>, Receiver<&'static str>);
        /// Passes on what it is told.
        struct Last(Option<Ends>);
        impl Drop for Last {
            fn drop(&mut self) {
                let ends = self.0.take().into_iter();
                ends.for_each(|(next, told)| next.send(told.recv().unwrap()).unwrap());
            }
        }
        thread_local!(static LAST: std::cell::RefCell<Last> = const { std::cell::RefCell::new(Last(None)) });
        let (first, mut told) = sync_channel(0);
        let passing: Vec<_> = (0..3)
            .map(|_| {
                let (next, next_told) = sync_channel(0);
                let ends = (next, std::mem::replace(&mut told, next_told));
                std::thread::spawn(move || LAST.with(|last| last.borrow_mut().0 = Some(ends)))
            })
            .collect();
        std::thread::sleep(A_WHILE);
        first.send("passed on").unwrap();
        seen.note(told.recv());
        for own in passing {
            own.join().unwrap();
        }
    });
}

#[test]
fn an_error_number_belongs_to_its_thread() {
    same_on_both(|seen| {
        let failing = ["/nowhere", "/dev/null/below"].map(|path| {
            std::thread::spawn(move || {
                let mut numbers = BTreeSet::new();
                for _ in 0..10 {
                    let failed = std::fs::metadata(path).unwrap_err().raw_os_error();
                    std::thread::yield_now();
                    numbers.insert(failed);
                    numbers.insert(std::io::Error::last_os_error().raw_os_error());
                }
                numbers
            })
        });
        for own in failing {
            seen.note(own.join().unwrap());
        }
    });
}

#[test]
fn a_deep_stack_and_a_panic_in_it_are_as_anywhere() {
    fn deep(depth: u32) -> u32 {
        let room = std::hint::black_box([depth; 256]);
        if depth == 0 {
            std::thread::yield_now();
            std::panic::resume_unwind(Box::new("at the bottom"));
        }
        deep(depth - 1) + room[0]
    }
    same_on_both(|seen| {
        let threads: Vec<_> = (0..4)
            .map(|number| std::thread::spawn(move || deep(500 + number)))
            .collect();
        for own in threads {
            let panic = own.join().unwrap_err();
            seen.note(panic.downcast_ref::<&str>());
        }
        let small = std::thread::Builder::new().stack_size(32 * 1024);
        let small = small.spawn(|| {
            std::thread::sleep(A_WHILE);
            "has little room"
        });
        seen.note(small.unwrap().join().unwrap());
    });
}

#[test]
fn blocking_tasks_and_async_ones_wait_for_one_another() {
    same_on_both_async(|seen: Seen| async move {
        let (ask, mut asked) = tokio::sync::mpsc::channel(1);
        let (answer, answered) = channel();
        let blocking = tokio::task::spawn_blocking(move || {
            ask.blocking_send("what").unwrap();
            answered.recv().unwrap()
        });
        seen.note(asked.recv().await);
        tokio::time::sleep(A_WHILE).await;
        answer.send("that").unwrap();
        seen.note(blocking.await.unwrap());
        let handle = tokio::runtime::Handle::current();
        let inside = tokio::task::spawn_blocking(move || {
            handle.block_on(async {
                tokio::time::sleep(Duration::from_millis(2)).await;
                "slept"
            })
        });
        seen.note(inside.await.unwrap());
    });
}

#[test]
fn a_runtime_of_several_threads_does_its_work() {
    same_on_both(|seen| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .unwrap();
        let sum = runtime.block_on(async {
            let adding = (0..20_u64).map(|number| {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(number)).await;
                    number
                })
            });
            let mut sum = 0;
            for own in adding.collect::<Vec<_>>() {
                sum += own.await.unwrap();
            }
            sum
        });
        seen.note(sum);
    });
}

#[test]
fn files_are_written_and_read() {
    same_on_both_async(|seen: Seen| async move {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("stormglass-machine-{}", std::process::id()));
        tokio::fs::write(&path, b"kept").await.unwrap();
        seen.note(tokio::fs::read_to_string(&path).await.unwrap());
        tokio::fs::remove_file(&path).await.unwrap();
        seen.note(tokio::fs::metadata(&path).await.is_err());
    });
}
