//! The watch: whoever waits for a run sees to it, in real time, that the run goes on.
//!
//! A service that blocks its thread, or spins until time passes, stops virtual time for ever, and no
//! virtual timeout can end that. So the run tells its steps to a [`Pulse`], and the waiting thread
//! looks at it. Nothing here reaches a history: a run either goes on unchanged or has no result.
//!
//! A thread cannot be stopped from outside. The thread of a run that hangs is left behind, with what
//! it holds, until the process ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use super::running;
use super::world::lock;
use crate::plan::Call;

/// How many looks without a step make a run that hangs. Looks are counted, and not the clock, because
/// a machine that is too busy to run the one thread is too busy to run the other as well, and one that
/// slept over night has not looked.
const LOOKS: u32 = 20;
/// How much longer is waited for a thread that wants to run and is not let.
const STARVED_FACTOR: u32 = 10;

thread_local! {
    static PULSE: RefCell<Option<Arc<Pulse>>> = const { RefCell::new(None) };
}

/// What a run tells about its progress.
#[derive(Default)]
pub(super) struct Pulse {
    steps: AtomicU64,
    /// Set while the run does not go on: then it is worth the time to ask which host is running.
    is_suspected: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    thread: Option<u32>,
    now: Duration,
    /// The host that ran last.
    running: Option<Arc<str>>,
    calls: BTreeMap<Arc<str>, (Call, Duration)>,
}

/// Where a run stands that does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "host `{host}` keeps the run from going on: for {} s of real time its thread has {thread}, at {:.3} s \
     of virtual time{}; a service has to wait with `.await`, for what the harness or tokio's timers and \
     channels give it",
    patience.as_secs_f64(), at.as_secs_f64(), last.as_deref().map(|last| format!(", after {last}")).unwrap_or_default()
)]
pub struct Hang {
    /// The host that ran last.
    pub host: String,
    /// For how long it was watched, in real time.
    pub patience: Duration,
    /// The virtual time at which it stands.
    pub at: Duration,
    /// What its thread does.
    pub thread: &'static str,
    /// The last call of the host at one of its ports.
    pub last: Option<String>,
}

/// Makes the current thread tell its progress until this is dropped.
pub(super) struct Told(());

impl Drop for Told {
    fn drop(&mut self) {
        PULSE.set(None);
    }
}

impl Pulse {
    /// The current thread is the run's.
    pub(super) fn of_this_thread(pulse: &Arc<Pulse>) -> Told {
        lock(&pulse.seen).thread = thread::own();
        PULSE.set(Some(pulse.clone()));
        Told(())
    }

    /// What became of a run: what it sent, or where it hangs. `Ok(None)` if it ended without a word.
    pub(super) fn watch<T>(
        &self,
        told: &Receiver<T>,
        patience: Duration,
    ) -> Result<Option<T>, Hang> {
        let mut steps = self.steps.load(Ordering::Relaxed);
        let (mut looks, mut wanted) = (0, 0);
        let mut worked = None;
        loop {
            match told.recv_timeout(patience / LOOKS) {
                Ok(result) => return Ok(Some(result)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.steps.load(Ordering::Relaxed);
            if now != steps {
                (steps, looks, wanted, worked) = (now, 0, 0, None);
                self.is_suspected.store(false, Ordering::Relaxed);
                continue;
            }
            looks += 1;
            self.is_suspected
                .store(looks > LOOKS / 2, Ordering::Relaxed);
            let thread = lock(&self.seen).thread.and_then(thread::look);
            wanted += u32::from(thread.is_some_and(|own| own.wants_to_run));
            let before = *worked.get_or_insert(thread.map_or(Duration::ZERO, |own| own.worked));
            if looks < LOOKS {
                continue;
            }
            let worked = thread.map_or(patience, |own| own.worked.saturating_sub(before));
            let is_busy = worked >= patience / 4;
            let is_starved = !is_busy && wanted > looks / 2;
            if !is_starved || looks >= LOOKS * STARVED_FACTOR {
                return Err(self.hang(patience, is_busy || is_starved));
            }
        }
    }

    fn hang(&self, patience: Duration, is_busy: bool) -> Hang {
        let seen = lock(&self.seen);
        let host = seen.running.clone().unwrap_or_else(|| "unknown".into());
        let last = seen.calls.get(&host).map(|(call, at)| {
            let at = at.as_secs_f64();
            format!("a {call} at {at:.3} s")
        });
        Hang {
            last,
            patience,
            at: seen.now,
            thread: match is_busy {
                true => "been busy without a pause",
                false => "slept in a blocking call",
            },
            host: host.to_string(),
        }
    }
}

fn tell(word: impl FnOnce(&Pulse)) {
    PULSE.with_borrow(|pulse| {
        if let Some(pulse) = pulse {
            word(pulse);
        }
    });
}

/// The run takes another step.
pub(super) fn step(now: Duration) {
    tell(|pulse| {
        pulse.steps.fetch_add(1, Ordering::Relaxed);
        lock(&pulse.seen).now = now;
    });
}

/// A host calls one of its ports.
pub(super) fn call(host: &Arc<str>, call: Call, now: Duration) {
    tell(|pulse| {
        let mut seen = lock(&pulse.seen);
        seen.calls.insert(host.clone(), (call, now));
        seen.running = Some(host.clone());
    });
}

/// Somebody asked for the time, as a service does that spins until it has passed.
pub(super) fn asked_for_the_time() {
    let Ok(true) = PULSE.try_with(|pulse| {
        let pulse = pulse.try_borrow();
        let pulse = pulse.as_ref().ok().and_then(|pulse| pulse.as_ref());
        pulse.is_some_and(|pulse| pulse.is_suspected.load(Ordering::Relaxed))
    }) else {
        return;
    };
    if let Some(host) = running::current_host() {
        tell(|pulse| lock(&pulse.seen).running = Some(host));
    }
}

/// A future of a host, which is told as running whenever it is polled.
pub(super) struct OnHost<F> {
    host: Arc<str>,
    future: Pin<Box<F>>,
}

impl<F> OnHost<F> {
    pub(super) fn new(host: Arc<str>, future: F) -> Self {
        let future = Box::pin(future);
        OnHost { host, future }
    }
}

impl<F: Future> Future for OnHost<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        tell(|pulse| lock(&pulse.seen).running = Some(self.host.clone()));
        self.future.as_mut().poll(context)
    }
}

/// What the operating system says about a thread.
#[derive(Clone, Copy)]
struct Thread {
    wants_to_run: bool,
    worked: Duration,
}

#[cfg(target_os = "linux")]
mod thread {
    use super::{Duration, Thread};

    /// Linux counts a thread's time in hundredths of a second, whatever its clock does (`man 5 proc`).
    const TICK: Duration = Duration::from_millis(10);

    pub(super) fn own() -> Option<u32> {
        u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).ok()
    }

    /// Reads the thread's `stat`: after the name in brackets its state, and as the 12th and 13th
    /// field from there the time that it has worked.
    pub(super) fn look(thread: u32) -> Option<Thread> {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
        Some(Thread {
            wants_to_run: *fields.first()? == "R",
            worked: TICK * (ticks(11)? + ticks(12)?),
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod thread {
    use super::Thread;

    pub(super) fn own() -> Option<u32> {
        None
    }

    pub(super) fn look(_: u32) -> Option<Thread> {
        None
    }
}
