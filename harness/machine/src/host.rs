//! A host: a computer of the simulated network, with the one process that runs on it.
//!
//! A process that is started again after a crash is a new `Host` at the old address.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use libc::pid_t;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use turmoil_net::Packet;

use crate::clock::Moment;
use crate::context::current;
use crate::descriptor::{Descriptors, ObjectId};
use crate::fiber::{Carrier, Fiber};
use crate::kernel::{self, Job, Kernel};
use crate::lock;
use crate::run::Ending;
use crate::scheduler::{Schedule, Scheduler, Wait};
use crate::termination::Termination;
use crate::thread::{Thread, ThreadId};

/// Smaller numbers belong to the operating system, as people expect.
const FIRST_PROCESS: pid_t = 100;

/// A host and its process.
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) address: Ipv4Addr,
    /// Which process of its run it is, in the order of their starts.
    pub(crate) place: usize,
    /// Which process of this name it is, in the order of their starts.
    number: u32,
    variables: BTreeMap<CString, CString>,
    random: Mutex<ChaCha12Rng>,
    pub(crate) descriptors: Mutex<Descriptors>,
    /// Packets that have arrived and that the kernel has not looked at.
    inbox: Mutex<VecDeque<(Moment, Packet)>>,
    has_packets: AtomicBool,
    /// Whether packets that only acknowledge may stay there until it works anyway.
    may_ignore_acknowledgements: AtomicBool,
    /// Work for the kernel that another thread waits for.
    job: Mutex<Option<Job>>,
    /// How often something has happened to its descriptors.
    io_count: AtomicU64,
    main: OnceLock<Main>,
    is_dead: AtomicBool,
    is_paused: AtomicBool,
    /// How often it has looked at its system clock.
    clock_reads: AtomicU64,
    /// Whether the computer is gone, so that its last packets are, too.
    is_lost: AtomicBool,
    /// What makes the process' main future look whether it was killed.
    pub(crate) root: Mutex<Option<Waker>>,
    pub(crate) ending: Mutex<Option<Ending>>,
    pub(crate) termination: Termination,
    /// What each further thread of the process begins with.
    threads_begin: OnceLock<Begin>,
}

/// What a thread begins with, and keeps until its end.
type Begin = Box<dyn Fn() -> Box<dyn Any> + Send + Sync>;

/// Has every thread that the current host's process starts from now on begin with `begin`. What that gives is dropped at
/// the thread's end. Only the first call of a process counts, and outside of a host none.
pub fn threads_begin(begin: impl Fn() -> Box<dyn Any> + Send + Sync + 'static) {
    if let Some(context) = current() {
        let _ = context.host.threads_begin.set(Box::new(begin));
    }
}

/// The thread that a process began with.
pub(crate) struct Main {
    pub(crate) id: ThreadId,
    fiber: Arc<Fiber>,
}

impl PartialEq for Host {
    fn eq(&self, other: &Host) -> bool {
        self.place == other.place
    }
}

impl Host {
    pub(crate) fn new(
        name: &str,
        address: Ipv4Addr,
        (place, number): (usize, u32),
        variables: BTreeMap<CString, CString>,
        random: ChaCha12Rng,
    ) -> Self {
        Host {
            name: name.into(),
            address,
            place,
            number,
            variables,
            random: Mutex::new(random),
            descriptors: Mutex::new(Descriptors::new(place)),
            inbox: Mutex::default(),
            has_packets: AtomicBool::default(),
            may_ignore_acknowledgements: AtomicBool::new(false),
            job: Mutex::default(),
            io_count: AtomicU64::new(0),
            main: OnceLock::new(),
            is_dead: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            clock_reads: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            root: Mutex::default(),
            ending: Mutex::default(),
            termination: Termination::default(),
            threads_begin: OnceLock::new(),
        }
    }

    /// What a thread that its process has just started keeps until its end.
    pub(crate) fn thread_begins(&self) -> Option<Box<dyn Any>> {
        self.threads_begin.get().map(|begin| begin())
    }

    /// Fills `bytes` from this host's stream of random numbers.
    pub(crate) fn draw(&self, bytes: &mut [u8]) {
        lock(&self.random).fill_bytes(bytes);
    }

    /// Seeds fastrand's generator of the current thread, which would otherwise follow from the number that the process
    /// has given to it.
    pub(crate) fn seed_fastrand(&self) {
        let mut seed = [0; 8];
        self.draw(&mut seed);
        fastrand::seed(u64::from_le_bytes(seed));
    }

    /// A variable of the environment that belongs to this host alone.
    pub(crate) fn variable(&self, name: &CStr) -> Option<&CStr> {
        self.variables.get(name).map(CString::as_c_str)
    }

    /// Whether it is no host at all, but stands for the thread that drives the run.
    pub(crate) fn is_driver(&self) -> bool {
        self.number == 0
    }

    pub(crate) fn count_clock_read(&self) {
        self.clock_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn clock_reads(&self) -> u64 {
        self.clock_reads.load(Ordering::Relaxed)
    }

    /// Whether its process has ended, so that nothing of it reaches the world any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    pub(crate) fn set_lost(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
    }

    pub(crate) fn set_dead(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }

    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::SeqCst);
    }

    /// The thread that the process began with; its kernel works there.
    pub(crate) fn main(&self) -> &Main {
        let main = self.main.get();
        main.unwrap_or_else(|| unreachable!("{} has been started", self.name))
    }

    pub(crate) fn set_main(&self, thread: &Thread) {
        let _ = self.main.set(Main {
            id: thread.id,
            fiber: thread.fiber.clone(),
        });
    }

    pub(crate) fn is_main(&self, thread: ThreadId) -> bool {
        self.main.get().is_some_and(|main| main.id == thread)
    }

    /// Something has happened to its descriptors.
    pub(crate) fn count_io(&self) {
        self.io_count.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn io_count(&self) -> u64 {
        self.io_count.load(Ordering::SeqCst)
    }

    /// Something has happened to one of its open files: whoever waits for that hears of it.
    pub(crate) fn tell(&self, scheduler: &Scheduler, id: ObjectId) {
        self.tell_within(&mut scheduler.lock(), id);
    }

    /// As [`Host::tell`], for whoever has the schedule.
    pub(crate) fn tell_within(&self, schedule: &mut Schedule, id: ObjectId) {
        self.count_io();
        lock(&self.descriptors).signal(id);
        schedule.resume_all(self, |wait| wait == Wait::Io);
    }

    /// What the process takes for its number: it repeats with the run, and differs between processes of a run.
    pub(crate) fn process_id(&self) -> pid_t {
        let main = self.main.get().map_or(0, |main| main.id);
        FIRST_PROCESS + pid_t::try_from(main).unwrap_or(0)
    }

    /// A packet has arrived.
    pub(crate) fn receive(&self, at: Moment, packet: Packet) {
        lock(&self.inbox).push_back((at, packet));
        self.has_packets.store(true, Ordering::SeqCst);
    }

    /// What has arrived, with the moment at which it has.
    pub(crate) fn take_packets(&self) -> VecDeque<(Moment, Packet)> {
        match self.has_packets.load(Ordering::SeqCst) {
            false => VecDeque::new(),
            true => {
                let mut inbox = lock(&self.inbox);
                self.has_packets.store(false, Ordering::SeqCst);
                std::mem::take(&mut inbox)
            }
        }
    }

    pub(crate) fn may_ignore_acknowledgements(&self) -> bool {
        self.may_ignore_acknowledgements.load(Ordering::Relaxed)
    }

    pub(crate) fn set_may_ignore_acknowledgements(&self, may: bool) {
        self.may_ignore_acknowledgements
            .store(may, Ordering::Relaxed);
    }

    /// The work that `thread` shall do for another one, which waits for it.
    pub(crate) fn take_job_of(&self, thread: ThreadId) -> Option<Job> {
        if !self.is_main(thread) {
            return None;
        }
        lock(&self.job).take()
    }

    /// Does `work` with the kernel of this host, on the thread that it belongs to, while the thread `current`
    /// waits; `None` once the process has ended.
    pub(crate) fn on_main_thread<R: Send + 'static>(
        &self,
        carrier: &Carrier,
        current: &Thread,
        work: impl FnOnce(&mut Kernel) -> R + Send + 'static,
    ) -> Option<R> {
        if self.is_main(current.id) {
            return kernel::here(work);
        }
        kernel::elsewhere(&current.fiber, work, |job| {
            *lock(&self.job) = Some(job);
            carrier.switch(&current.fiber, &self.main().fiber);
        })
    }

    /// Makes the main future look whether its process was killed; `false` if there is none to make look.
    pub(crate) fn tell_root(&self) -> bool {
        let root = lock(&self.root).take();
        root.map(Waker::wake).is_some()
    }
}
