//! The machine: a run's hosts, for whoever starts and stops them.

mod faults;
mod news;

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

use crate::arenas;
use crate::context::{self, Context};
use crate::cores::Core;
use crate::host::Host;
use crate::kernel::{self, Kernel};
pub use news::Bell;

use crate::network::Network;
use crate::run::{Ending, RunError, Settings};
use crate::scheduler::{Scheduler, Wait};
use crate::symbols::{self, threads};
use crate::{foreign, lock, service, stacks};

/// How often it is looked, within the time that is allowed, whether a thread has waited for something. A process that
/// was stopped, as by a terminal, has missed one look, however long that was.
const LOOKS: u32 = 10;

/// A run, for the thread that drives it.
pub struct Machine<'run> {
    context: &'run Context,
    seed: [u8; 32],
    hosts: RefCell<Vec<Arc<Host>>>,
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
    service::prepare();
    let Settings {
        seed,
        links,
        patience,
    } = settings;
    arenas::set_up();
    let scheduler = Arc::new(Scheduler::new());
    foreign::join(&scheduler);
    let stream = |name: &str| stream(&seed, name);
    scheduler.lock().network = Network::new(links, seed);
    let own = Host::new(
        "driver",
        std::net::Ipv4Addr::UNSPECIFIED,
        (0, 0),
        BTreeMap::new(),
        stream("driver"),
    );
    let own = Arc::new(own);
    let thread = scheduler.lock().add(own.clone(), false);
    scheduler.lock().add_process(own.clone());
    let (tell, told) = mpsc::sync_channel(1);
    let drive = {
        let scheduler = scheduler.clone();
        move || {
            let _core = Core::claim();
            let context = Context::new(scheduler.clone(), own, thread.clone());
            let mut result = None;
            scheduler.carrier.carry(&thread.fiber, || {
                let work = || threads::within(&context, || drive_run(&context, seed, drive));
                result = Some(catch_unwind(AssertUnwindSafe(work)));
            });
            match result {
                Some(Ok(result)) => drop(tell.send(result)),
                Some(Err(panic)) => resume_unwind(panic),
                None => {}
            }
        }
    };
    let thread = std::thread::Builder::new().spawn(drive)?;
    let (mut steps, mut quiet) = (scheduler.steps(), 0);
    loop {
        match told.recv_timeout(patience / LOOKS) {
            Ok(result) => {
                // Nothing of a run may still be at work when the next one begins.
                let _ = thread.join();
                stacks::join_over(true);
                return result;
            }
            Err(RecvTimeoutError::Timeout) if scheduler.steps() != steps => {
                (steps, quiet) = (scheduler.steps(), 0);
            }
            Err(RecvTimeoutError::Timeout) if quiet + 1 < LOOKS => quiet += 1,
            Err(RecvTimeoutError::Timeout) => {
                let (host, before) = scheduler.lock().working();
                return Err(RunError::Blocked {
                    host,
                    before,
                    patience,
                    system_call: scheduler.carrier.system_call(),
                });
            }
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
pub(crate) fn stream(seed: &[u8; 32], name: &str) -> ChaCha12Rng {
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

    /// Waits, and unwinds if the run cannot go on.
    fn wait(&self, wait: Wait, left: Option<Duration>) {
        self.context.wait(wait, left);
        if self.context.scheduler.lock().trouble.is_some() {
            resume_unwind(Box::new("the run cannot go on"));
        }
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
            (self.context.scheduler.lock().next_place(), number),
            variables.collect(),
            random,
        ));
        let mut schedule = self.context.scheduler.lock();
        schedule.network.join(&host);
        schedule.add_process(host.clone());
        drop(schedule);
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

    /// Whether the process of the host `name` would be asked by [`terminate`](Self::terminate), and not killed.
    pub fn can_be_asked(&self, name: &str) -> bool {
        let host = self.process(name).filter(|own| !own.is_dead());
        host.is_some_and(|host| host.termination.is_awaited())
    }

    /// Asks the process of the host `name` to end by itself, which it notices by [`terminated`](crate::terminated). If
    /// nothing in it would notice, it is killed. Whether it was asked.
    pub fn terminate(&self, name: &str) -> bool {
        let Some(host) = self.process(name).filter(|own| !own.is_dead()) else {
            return false;
        };
        let is_asked = host.termination.ask();
        if !is_asked {
            self.kill(name);
        }
        is_asked
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
            self.context.on_kernel_of(host, Kernel::close_all);
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
            self.context.on_kernel_of(&host, Kernel::expire);
        }
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
    host.termination.forget();
    kernel::uninstall();
    host.set_dead();
    let mut schedule = scheduler.lock();
    schedule.network.part(host);
    schedule.resume_all(host, |wait| matches!(wait, Wait::Io | Wait::Sleep));
    schedule.ring();
}
