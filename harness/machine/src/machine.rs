//! The machine: a run's hosts, for whoever starts, stops and watches them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::context::{self, Context};
use crate::cores::Core;
use crate::host::{Ending, Host};
use crate::kernel::{self, Kernel};
use crate::network::{Affected, Links, Network, Traffic};
use crate::scheduler::{Scheduler, Wait};
use crate::symbols::{self, threads};
use crate::{lock, service};

/// Why a run came to no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The function that drives the run panicked, with this message.
    #[error("{0}")]
    Panicked(String),
    /// A host has asked for something that a run cannot have.
    #[error("{host} asks for {call}, which a simulated host does not have")]
    Unsupported {
        /// The host.
        host: String,
        /// What it has asked for.
        call: &'static str,
    },
    /// A thread has worked for longer than [`Settings::patience`] without waiting for anything.
    #[error(
        "{host} has kept the run for {patience:?} without waiting for anything; before that it {before}"
    )]
    Blocked {
        /// The host whose thread works.
        host: String,
        /// What the thread did before.
        before: &'static str,
        /// How long it was waited for.
        patience: Duration,
    },
    /// Processes that have ended left threads that wait for what will never come.
    #[error("{0} left threads that wait for what will never come: {1}")]
    Leaked(String, usize),
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    NoThread(#[from] std::io::Error),
}

/// A run, for the thread that drives it.
pub struct Machine<'run> {
    context: &'run Context,
    seed: [u8; 32],
    hosts: RefCell<Vec<Arc<Host>>>,
}

/// What a run follows from.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Every random number follows from it.
    pub seed: [u8; 32],
    /// How long packets take.
    pub links: Links,
    /// How long, in real time, a thread may work without waiting for anything.
    pub patience: Duration,
}

impl Settings {
    /// The usual links, and ten seconds of patience.
    pub fn of(seed: [u8; 32]) -> Self {
        Settings {
            seed,
            links: Links::default(),
            patience: Duration::from_secs(10),
        }
    }
}

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many of its threads have not ended.
    pub threads: usize,
    /// How many of its descriptors stand for something that the machine keeps: a socket, a pipe, a timer.
    pub descriptors: usize,
}

/// What a host's thread rings to wake the one that drives the run; see [`Machine::wait_for_bell`].
#[derive(Clone)]
pub struct Bell(Arc<Scheduler>);

impl Bell {
    /// Rings, at the current moment.
    pub fn ring(&self) {
        self.0.lock().ring();
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Bell")
    }
}

/// Begins a run and drives it with `drive`, on a thread of its own.
///
/// All threads of the run stay on one core, as long as one is left that has no other run.
///
/// When `drive` returns, every process that is left is killed.
///
/// # Errors
///
/// See [`RunError`]. After [`RunError::Blocked`] the threads of the run stay behind.
pub fn run<T: Send + 'static>(
    settings: Settings,
    drive: impl FnOnce(&Machine) -> T + Send + 'static,
) -> Result<T, RunError> {
    symbols::link();
    let Settings {
        seed,
        links,
        patience,
    } = settings;
    let scheduler = Arc::new(Scheduler::default());
    let stream = |name: &str| stream(&seed, name);
    scheduler.lock().network = Network::new(links, stream("network"));
    let own = Host::new(
        "driver",
        std::net::Ipv4Addr::UNSPECIFIED,
        0,
        BTreeMap::new(),
        stream("driver"),
    );
    let own = Arc::new(own);
    let thread = scheduler.lock().add(own.clone(), false);
    let (tell, told) = mpsc::sync_channel(1);
    let drive = {
        let scheduler = scheduler.clone();
        move || {
            let _core = Core::claim();
            let context = Context::new(scheduler, own, thread);
            let _ = tell.send(threads::within(&context, || {
                drive_run(&context, seed, drive)
            }));
        }
    };
    let thread = std::thread::Builder::new().spawn(drive)?;
    let mut steps = scheduler.steps();
    loop {
        match told.recv_timeout(patience) {
            Ok(result) => {
                // Nothing of a run may still be at work when the next one begins.
                let _ = thread.join();
                return result;
            }
            Err(RecvTimeoutError::Timeout) if scheduler.steps() == steps => {
                let (host, before) = scheduler.lock().working();
                return Err(RunError::Blocked {
                    host,
                    before,
                    patience,
                });
            }
            Err(RecvTimeoutError::Timeout) => steps = scheduler.steps(),
            Err(RecvTimeoutError::Disconnected) => {
                let panic = thread.join().err();
                let text = panic.map(|panic| text_of(&*panic));
                return Err(RunError::Panicked(text.unwrap_or_default()));
            }
        }
    }
}

/// The run, on its own thread.
fn drive_run<T>(
    context: &Context,
    seed: [u8; 32],
    drive: impl FnOnce(&Machine<'_>) -> T,
) -> Result<T, RunError> {
    let machine = Machine {
        context,
        seed,
        hosts: RefCell::default(),
    };
    let result = catch_unwind(AssertUnwindSafe(|| drive(&machine)));
    let leaked = machine.end();
    if let Some(trouble) = context.scheduler.lock().trouble.take() {
        return Err(RunError::Unsupported {
            host: trouble.host.to_string(),
            call: trouble.call,
        });
    }
    match (result, leaked) {
        (Err(panic), _) => Err(RunError::Panicked(text_of(&*panic))),
        (Ok(_), Some((host, count))) => Err(RunError::Leaked(host, count)),
        (Ok(result), None) => Ok(result),
    }
}

/// An independent stream of random numbers for `name`.
fn stream(seed: &[u8; 32], name: &str) -> ChaCha12Rng {
    // FNV-1a: names differ, so that their streams do.
    let number = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut stream = ChaCha12Rng::from_seed(*seed);
    stream.set_stream(number);
    stream
}

/// What a panic said.
fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a value that is not text".to_owned())
}

impl Machine<'_> {
    /// Virtual time since the start of the run.
    pub fn now(&self) -> Duration {
        self.context.now()
    }

    /// Lets virtual time pass.
    pub fn sleep(&self, time: Duration) {
        self.wait(Wait::Sleep, Some(time));
    }

    /// What wakes this thread while it is in [`Machine::wait_for_bell`].
    pub fn bell(&self) -> Bell {
        Bell(self.context.scheduler.clone())
    }

    /// Lets virtual time pass until somebody rings the [`Bell`] or a fault of a link affects a packet (see
    /// [`Machine::take_affected`]), but not beyond `until`; whether it was rung. A bell that was rung before
    /// rings at once.
    pub fn wait_for_bell(&self, until: Duration) -> bool {
        let is_rung = self.context.scheduler.lock().is_rung;
        if !is_rung {
            let left = until.saturating_sub(self.now());
            self.wait(Wait::Bell, Some(left));
        }
        std::mem::take(&mut self.context.scheduler.lock().is_rung)
    }

    /// Waits, and unwinds if the run cannot go on.
    fn wait(&self, wait: Wait, left: Option<Duration>) {
        self.context.wait(wait, left);
        if self.context.scheduler.lock().trouble.is_some() {
            resume_unwind(Box::new("the run cannot go on"));
        }
    }

    /// What has gone from one host to another so far, by the names of the two. What a host has sent to itself is
    /// not counted.
    pub fn traffic(&self) -> BTreeMap<(Arc<str>, Arc<str>), Traffic> {
        self.context.scheduler.lock().network.traffic()
    }

    /// Takes the links, from one host to another, on which a packet was affected by [`Machine::cut`] or
    /// [`Machine::slow_down`] since this was last asked. The first packet of each kind rings the [`Bell`].
    pub fn take_affected(&self) -> Vec<(Arc<str>, Arc<str>, Affected)> {
        self.context.scheduler.lock().network.take_affected()
    }

    /// How often processes of the host `name` have looked at their system clock. What a fault of that clock
    /// misleads is who looks at it.
    pub fn clock_reads(&self, name: &str) -> u64 {
        let hosts = self.hosts.borrow();
        let own = hosts.iter().filter(|own| &*own.name == name);
        own.map(|own| own.clock_reads()).sum()
    }

    /// Whether a process of the host `name` has ever looked at its system clock.
    pub fn has_read_clock(&self, name: &str) -> bool {
        self.clock_reads(name) > 0
    }

    /// What the latest process of the host `name` uses now; `None` if there is no such host.
    pub fn usage(&self, name: &str) -> Option<Usage> {
        let host = self.process(name)?;
        let threads = self.context.scheduler.lock().threads_of(&host).len();
        let descriptors = lock(&host.descriptors).count();
        Some(Usage {
            threads,
            descriptors,
        })
    }

    /// Starts the process of the host `name` with the function `main`; its earlier one, if any, has to
    /// have ended.
    ///
    /// # Panics
    ///
    /// If the host still has a living process, if a variable has a null byte, or if no thread can be started.
    pub fn start(
        &self,
        name: &str,
        variables: &[(&str, &str)],
        main: impl FnOnce() + Send + 'static,
    ) {
        let alive = self.process(name).is_some_and(|own| !own.is_dead());
        assert!(!alive, "{name} is running already");
        let earlier = self.hosts.borrow();
        let number = earlier.iter().filter(|own| &*own.name == name).count() + 1;
        drop(earlier);
        let address = self.context.scheduler.lock().network.address_of(name);
        let text =
            |text: &str| CString::new(text).unwrap_or_else(|_| panic!("{text:?} has a null byte"));
        let variables = variables
            .iter()
            .map(|(key, value)| (text(key), text(value)));
        let random = stream(&self.seed, &format!("{name} {number}"));
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let host = Arc::new(Host::new(
            name,
            address,
            number,
            variables.collect(),
            random,
        ));
        self.context.scheduler.lock().network.join(&host);
        self.hosts.borrow_mut().push(host.clone());
        let scheduler = self.context.scheduler.clone();
        let process = {
            let host = host.clone();
            move || run_process(&host, &scheduler, main)
        };
        let builder = std::thread::Builder::new().name(name.to_owned());
        let thread = self.context.starting(&host, || builder.spawn(process));
        thread.unwrap_or_else(|error| panic!("no thread for {name}: {error}"));
    }

    /// Starts the process of the host `name` with an async function, on a tokio runtime of its own.
    ///
    /// # Panics
    ///
    /// As [`Machine::start`].
    pub fn start_service<F: Future<Output = ()>>(
        &self,
        name: &str,
        variables: &[(&str, &str)],
        service: impl FnOnce() -> F + Send + 'static,
    ) {
        self.start(name, variables, move || {
            let context = context::current();
            let context = context.unwrap_or_else(|| unreachable!("a process is a thread of a run"));
            service::block_on(&context.host, service());
        });
    }

    /// The latest process of a host.
    fn process(&self, name: &str) -> Option<Arc<Host>> {
        let hosts = self.hosts.borrow();
        hosts.iter().rev().find(|own| &*own.name == name).cloned()
    }

    /// Waits until the process of the host `name` has ended, and tells how; `None` if nothing will ever
    /// happen again, or if there is no such host.
    pub fn wait_for_end(&self, name: &str) -> Option<Ending> {
        let host = self.process(name)?;
        let main = host.main().id;
        while self.context.scheduler.is_alive(main) {
            self.wait(Wait::End(main), None);
            if std::mem::take(&mut self.context.scheduler.lock().is_stuck) {
                return None;
            }
        }
        lock(&host.ending).clone()
    }

    /// Kills the process of the host `name`, if it lives: from now on nothing of it reaches the world. Its
    /// connections are reset or closed, as by the operating system.
    pub fn kill(&self, name: &str) {
        let Some(host) = self.process(name).filter(|own| !own.is_dead()) else {
            return;
        };
        self.end_process(&host);
        let main = host.main().id;
        if self.context.scheduler.is_alive(main) {
            // It ends at once, and its other threads as far as they can.
            self.wait(Wait::End(main), Some(Duration::ZERO));
        }
    }

    /// Takes the computer of the host `name` away, if its process lives: it falls silent, and its peers are told
    /// nothing. It is back when its process is started again.
    pub fn lose(&self, name: &str) {
        let Some(host) = self.process(name).filter(|own| !own.is_dead()) else {
            return;
        };
        host.set_lost();
        self.context.scheduler.lock().network.lose(&host);
        self.kill(name);
    }

    fn end_process(&self, host: &Arc<Host>) {
        host.set_paused(false);
        let main = host.main().id;
        if self.context.scheduler.is_alive(main) {
            host.on_main_thread(self.context.thread.id, Kernel::close_all);
        }
        host.set_dead();
        let ending = &mut *lock(&host.ending);
        ending.get_or_insert(Ending::Killed);
        let mut schedule = self.context.scheduler.lock();
        schedule.network.part(host);
        schedule.release_held();
        schedule.resume_all(host, |wait| matches!(wait, Wait::Io | Wait::Sleep));
    }

    /// Stops the process of the host `name` where it is, with everything that its computer does.
    pub fn pause(&self, name: &str) {
        if let Some(host) = self.process(name) {
            host.set_paused(true);
        }
    }

    /// Lets the process of the host `name` go on.
    pub fn unpause(&self, name: &str) {
        let Some(host) = self.process(name).filter(|own| own.is_paused()) else {
            return;
        };
        host.set_paused(false);
        self.context.scheduler.lock().release_held();
        if !host.is_dead() {
            // What has arrived meanwhile, or has taken too long, is looked at.
            host.on_main_thread(self.context.thread.id, Kernel::expire);
        }
    }

    /// Keeps packets from reaching `to` from `from`, until [`Machine::mend`] or [`Machine::heal`].
    pub fn cut(&self, from: &str, to: &str) {
        let mut schedule = self.context.scheduler.lock();
        let from = schedule.network.address_of(from);
        let to = schedule.network.address_of(to);
        schedule.network.cut(from, to);
    }

    /// Puts the system clock of the host `name` forward, or back; its monotonic clock goes on.
    pub fn step_clock(&self, name: &str, by_ms: i64) {
        let mut schedule = self.context.scheduler.lock();
        let now = schedule.now();
        schedule.clock_mut(name).step(now, by_ms);
    }

    /// Makes the system clock of the host `name` gain so many parts in a million from now on, or lose them.
    pub fn drift_clock(&self, name: &str, gain_ppm: i32) {
        let mut schedule = self.context.scheduler.lock();
        let now = schedule.now();
        schedule.clock_mut(name).drift(now, gain_ppm);
    }

    /// Resets every connection between two hosts; both ends are told.
    pub fn reset(&self, one: &str, other: &str) {
        let one = self.process(one).filter(|own| !own.is_dead());
        let other = self.process(other).filter(|own| !own.is_dead());
        if let (Some(one), Some(other)) = (one, other) {
            let peer = other.address;
            one.on_main_thread(self.context.thread.id, move |kernel| kernel.reset(peer));
        }
    }

    /// Makes packets from `from` to `to` take so much longer than usual, until [`Machine::heal`] or another
    /// call; zero makes them as fast as others.
    pub fn slow_down(&self, from: &str, to: &str, by: Duration) {
        let mut schedule = self.context.scheduler.lock();
        let from = schedule.network.address_of(from);
        let to = schedule.network.address_of(to);
        schedule.network.slow_down(from, to, by);
    }

    /// Makes the way from one host to another whole; what was held goes on.
    pub fn mend(&self, from: &str, to: &str) {
        let mut schedule = self.context.scheduler.lock();
        let from = schedule.network.address_of(from);
        let to = schedule.network.address_of(to);
        schedule.network.mend(from, to);
        schedule.carry();
    }

    /// Makes every link whole and as fast as others; what was held goes on its way.
    pub fn heal(&self) {
        let mut schedule = self.context.scheduler.lock();
        schedule.network.heal();
        schedule.carry();
    }

    /// Ends every process; the first host that has threads left, and how many.
    fn end(&self) -> Option<(String, usize)> {
        let hosts = self.hosts.borrow().clone();
        for host in hosts.iter().filter(|own| !own.is_dead()) {
            self.end_process(host);
        }
        let scheduler = &self.context.scheduler;
        for host in &hosts {
            loop {
                let left = scheduler.lock().threads_of(host);
                let Some(first) = left.first() else {
                    break;
                };
                scheduler.lock().is_stuck = false;
                self.context.wait(Wait::End(*first), None);
                if scheduler.lock().is_stuck {
                    return Some((host.name.to_string(), left.len()));
                }
            }
        }
        None
    }
}

/// The main thread of a process: its kernel is there as long as it is.
fn run_process(host: &Arc<Host>, scheduler: &Arc<Scheduler>, main: impl FnOnce()) {
    kernel::install(host, scheduler);
    let result = catch_unwind(AssertUnwindSafe(main));
    let ending = match result {
        Ok(()) => Ending::Returned,
        Err(panic) => Ending::Panicked(text_of(&*panic)),
    };
    lock(&host.ending).get_or_insert(ending);
    kernel::uninstall();
    host.set_dead();
    let mut schedule = scheduler.lock();
    schedule.network.part(host);
    schedule.resume_all(host, |wait| matches!(wait, Wait::Io | Wait::Sleep));
}
