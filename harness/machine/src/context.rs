//! The context: which thread of which run the current thread is, if any.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use libc::pthread_t;

use crate::clock::MONOTONIC_START;
use crate::foreign;
use crate::host::Host;
use crate::kernel::{self, Kernel};
use crate::scheduler::{Scheduler, Trouble, Wait, Woken};
use crate::symbols::Errno;
use crate::thread::Thread;

thread_local! {
    static CURRENT: Cell<Option<&'static Context>> = const { Cell::new(None) };
}

/// A thread of a run, as it sees itself.
pub(crate) struct Context {
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) host: Arc<Host>,
    pub(crate) thread: Arc<Thread>,
    /// The host that the next thread belongs to, if it is to be another one.
    starting: RefCell<Option<Arc<Host>>>,
}

/// The context of the current thread; `None` outside of a run.
pub(crate) fn current() -> Option<&'static Context> {
    CURRENT.try_with(Cell::get).ok().flatten()
}

/// Makes the current thread the one of `context`, or none.
pub(crate) fn enter(context: Option<&'static Context>) {
    CURRENT.with(|current| current.set(context));
}

/// Runs `work` outside of the run: with the clock, the randomness and the sockets of the real machine.
///
/// Virtual time stands still meanwhile, and no other thread of the run works. It is for hosts that stand for a
/// real server and ask it.
pub fn outside<T>(work: impl FnOnce() -> T) -> T {
    let _away = Away::go();
    work()
}

/// The current thread is outside of its run, to which it returns when this is dropped.
pub(crate) struct Away(Option<&'static Context>);

impl Away {
    pub(crate) fn go() -> Away {
        Away(CURRENT.with(Cell::take))
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        enter(self.0);
    }
}

/// The name of the host whose thread the current one is; `None` outside of a run, on the thread that drives it, and
/// within [`outside`].
pub fn host() -> Option<Arc<str>> {
    let context = current()?;
    (!context.host.is_driver()).then(|| context.host.name.clone())
}

/// Virtual time since the start of the run that the current thread belongs to; `None` outside of a run.
pub fn elapsed() -> Option<Duration> {
    current().map(Context::now)
}

/// The name of the host at `address`, as seen from the current thread, whether its process lives or not; `None`
/// outside of a run, and if there is no such host.
///
/// A loopback address is the current host's own.
pub fn host_of(address: IpAddr) -> Option<Arc<str>> {
    if address.is_loopback() {
        return host();
    }
    current()?.scheduler.lock().network.name_of(address)
}

/// What was [attached](crate::Machine::attach) to the run that the current thread belongs to, if it is a `T` and still
/// there.
pub fn attached<T: Any + Send + Sync>() -> Option<Arc<T>> {
    let attached = current()?.scheduler.lock().attached.clone()?;
    attached.upgrade()?.downcast().ok()
}

/// The name of the host whose thread the current one is, as long as its process lives; `None` outside of a run, on the
/// thread that drives it, and within [`outside`].
pub fn living_host() -> Option<Arc<str>> {
    let host = &current()?.host;
    let is_driver = host.address.is_unspecified();
    (!is_driver && !host.is_dead()).then(|| host.name.clone())
}

/// Whether the process that the current thread belongs to was killed: what it still does must have no effect.
pub fn is_killed() -> bool {
    current().is_some_and(|context| context.host.is_dead())
}

impl Context {
    pub(crate) fn new(scheduler: Arc<Scheduler>, host: Arc<Host>, thread: Arc<Thread>) -> Self {
        Context {
            scheduler,
            host,
            thread,
            starting: RefCell::default(),
        }
    }

    /// The context of a thread that this one starts.
    pub(crate) fn child(&self) -> Context {
        let starting = self.starting.take();
        let host = starting.clone().unwrap_or_else(|| self.host.clone());
        let thread = self.scheduler.lock().add(host.clone(), true);
        if starting.is_some() {
            host.set_main(&thread);
        }
        Context::new(self.scheduler.clone(), host, thread)
    }

    /// Runs `start`, whose first thread is the one that the process of `host` begins with.
    pub(crate) fn starting<T>(&self, host: &Arc<Host>, start: impl FnOnce() -> T) -> T {
        *self.starting.borrow_mut() = Some(host.clone());
        start()
    }

    /// Does `work` with the kernel of this thread's host; `None` once the process has ended.
    pub(crate) fn on_kernel<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Kernel) -> R + Send + 'static,
    ) -> Option<R> {
        if self.host.is_dead() && !self.is_main() {
            return None;
        }
        self.on_kernel_of(&self.host, work)
    }

    /// Does `work` with the kernel of `host`; `None` once its process has ended.
    pub(crate) fn on_kernel_of<R: Send + 'static>(
        &self,
        host: &Host,
        work: impl FnOnce(&mut Kernel) -> R + Send + 'static,
    ) -> Option<R> {
        host.on_main_thread(&self.scheduler.carrier, &self.thread, work)
    }

    /// Ends the run, because this host has asked for what it cannot have.
    pub(crate) fn refuse(&self, call: &'static str) -> Errno {
        let trouble = Trouble {
            host: self.host.name.clone(),
            call,
        };
        self.scheduler.lock().end_for(trouble);
        Errno(libc::ENOSYS)
    }

    /// Waits until a thread of the run is at its end, by the C library's name for it.
    pub(crate) fn wait_for_end(&self, handle: pthread_t) {
        let Some(id) = self.scheduler.lock().named(handle) else {
            return;
        };
        while self.scheduler.is_alive(id) {
            self.wait(Wait::End(id), None);
        }
    }

    /// Virtual time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        self.scheduler.now()
    }

    pub(crate) fn monotonic_clock(&self) -> Duration {
        MONOTONIC_START + self.now()
    }

    pub(crate) fn wall_clock(&self) -> Duration {
        self.scheduler.lock().wall_clock(&self.host)
    }

    /// What the system clock shows to code that looks at it.
    pub(crate) fn read_clock(&self) -> Duration {
        self.host.count_clock_read();
        self.wall_clock()
    }

    /// Lets time pass.
    pub(crate) fn sleep(&self, time: Duration) {
        // Time does not pass for a process that is dead: its threads are to come to their end.
        if self.host.is_dead() {
            self.give_way();
        } else {
            self.wait(Wait::Sleep, Some(time));
        }
    }

    /// Lets every other thread that is ready go on first.
    pub(crate) fn give_way(&self) {
        self.settle();
        self.scheduler.give_way(self);
    }

    /// Waits for something, at most until `left` has passed.
    pub(crate) fn wait(&self, wait: Wait, left: Option<Duration>) -> Woken {
        self.settle();
        self.scheduler.wait(self, wait, left)
    }

    /// Waits for what never comes.
    pub(crate) fn wait_for_ever(&self) -> ! {
        loop {
            self.wait(Wait::End(self.thread.id), None);
        }
    }

    /// Waits until something has happened to the host's descriptors since its count was `seen`.
    pub(crate) fn wait_for_io(&self, seen: u64, left: Option<Duration>) -> Woken {
        self.settle();
        if self.host.io_count() != seen || self.host.is_dead() {
            return Woken::ByEvent;
        }
        self.scheduler.wait(self, Wait::Io, left)
    }

    /// Waits until the futex at `address` is woken.
    pub(crate) fn wait_for_futex(&self, address: usize, left: Option<Duration>) -> Woken {
        match left {
            Some(_) if self.host.is_dead() => Woken::ByDeadline,
            _ => {
                let _noted = self.scheduler.waited_at.wait_at(address);
                self.wait(Wait::Futex(address), left)
            }
        }
    }

    /// Wakes at most `most` threads that wait at `address`.
    pub(crate) fn wake(&self, address: usize, most: usize) -> usize {
        let woken = self.scheduler.lock().wake(address, most);
        if woken == 0 {
            foreign::wake(address, Some(&self.scheduler));
        }
        woken
    }

    /// Whether this is the thread that the host's kernel works on.
    pub(crate) fn is_main(&self) -> bool {
        self.host.is_main(self.thread.id)
    }

    /// Sends what has been written before this thread waits.
    fn settle(&self) {
        if self.is_main() {
            kernel::serve_here();
        }
    }

    /// Does the kernel's work for others until it is this thread's own turn.
    pub(crate) fn serve_until_own_turn(&self) {
        while let Some(job) = self.host.take_job_of(self.thread.id) {
            let caller = job.run();
            self.scheduler.carrier.switch(&self.thread.fiber, &caller);
        }
    }
}
