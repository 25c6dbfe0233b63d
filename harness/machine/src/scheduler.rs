//! The scheduler: which thread works, and when time moves.
//!
//! A thread that has to wait says for what and picks the thread that goes on, so that nothing stands between
//! two threads. Threads become ready in a fixed order and go on in that order. When none is ready, time jumps to the first moment at which something is due.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use libc::pthread_t;
use turmoil_net::Packet;

use crate::clock::{Clock, Moment};
use crate::context::{Away, Context};
use crate::descriptor::{ObjectId, PLACES};
use crate::fiber::Carrier;
use crate::foreign::{Addresses, spin};
use crate::host::Host;
use crate::kernel::{Kernel, is_bare};
use crate::lock;
use crate::network::Network;
use crate::symbols::futex;
use crate::thread::{Thread, ThreadId};

/// When something is due, and its place among what is due at that moment.
type Due = (Moment, u64);

/// How often a thread may give way at one moment before time passes for it: whoever asks over and over
/// whether something has happened would keep it from ever happening.
const LOOKS_WITHOUT_TIME: u32 = 64;
/// How much time passes then.
const TIME_OF_A_LOOK: Duration = Duration::from_micros(50);

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// To be woken at this address.
    Futex(usize),
    /// Something happening to the host's descriptors.
    Io,
    /// Time.
    Sleep,
    /// The end of a thread.
    End(ThreadId),
    /// The run's bell: only the thread that drives the run waits for it.
    Bell,
}

/// Why a thread went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    ByEvent,
    ByDeadline,
}

/// Something that is due at a moment.
enum Event {
    /// A wait comes to its deadline.
    Deadline(ThreadId),
    /// A packet arrives. It has a place of its own, so that what is due is quickly put in order.
    Arrival(Box<Packet>),
    /// The kernel of a host gives up what has taken too long.
    Expiry(Arc<Host>),
    /// Something happens to an open file of a host.
    Tell(Arc<Host>, ObjectId),
}

/// What the scheduler knows of a thread.
struct Standing {
    thread: Arc<Thread>,
    wait: Option<Wait>,
    /// What it waited for last.
    last: Option<Wait>,
    deadline: Option<Due>,
    /// How often it has given way since it last waited.
    looks: u32,
}

/// What all threads of a run share.
#[derive(Default)]
pub(crate) struct Schedule {
    now: Moment,
    /// The same in nanoseconds, for whoever has not taken the schedule.
    shown: Arc<AtomicU64>,
    ready: VecDeque<ThreadId>,
    events: BTreeMap<Due, Event>,
    due_count: u64,
    threads: BTreeMap<ThreadId, Standing>,
    thread_count: ThreadId,
    /// Every process that was ever started, after the run's own.
    processes: Vec<Arc<Host>>,
    /// Threads by the C library's name for them.
    names: BTreeMap<pthread_t, ThreadId>,
    /// Who waits at which address, in the order in which they began to.
    futexes: Vec<(usize, ThreadId)>,
    /// Ready threads of hosts that are paused.
    held: Vec<ThreadId>,
    pub(crate) network: Network,
    /// The system clocks of computers, by the names of their hosts, as far as they were ever wrong.
    clocks: BTreeMap<Arc<str>, Clock>,
    /// Whether everything waits for what will never come.
    pub(crate) is_stuck: bool,
    /// Whether the bell has been rung and nobody has heard it.
    pub(crate) is_rung: bool,
    /// What whoever drives the run keeps for the code on its hosts.
    pub(crate) attached: Option<Weak<dyn Any + Send + Sync>>,
    /// Why the run cannot go on.
    pub(crate) trouble: Option<Trouble>,
    /// The thread that works.
    working: Option<ThreadId>,
}

/// Something that a run cannot have: which host asked for what.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) host: Arc<str>,
    pub(crate) call: &'static str,
}

/// The scheduler of a run.
#[derive(Default)]
pub(crate) struct Scheduler {
    schedule: Mutex<Schedule>,
    /// What the schedule shows: services look at their clocks more often than at anything else.
    now: Arc<AtomicU64>,
    pub(crate) carrier: Carrier,
    /// How often a thread has been picked.
    steps: AtomicU64,
    /// Where its threads wait for wake-ups.
    pub(crate) waited_at: Addresses,
    /// Addresses at which threads outside of the run have woken who waits.
    woken_from_outside: Mutex<Vec<usize>>,
    has_woken_from_outside: AtomicBool,
}

/// The schedule, in the hands of one thread, which is outside of the run for as long.
///
/// What a run asks of its machine takes the schedule. So whoever has it must not ask: not for the time, as allocators do
/// now and then, nor to wait, if a thread that is not of the run, such as the one that watches it, has the schedule.
pub(crate) struct Locked<'a> {
    // Given back first: that may wake a thread of the real kernel.
    schedule: MutexGuard<'a, Schedule>,
    _away: Away,
}

impl Deref for Locked<'_> {
    type Target = Schedule;

    fn deref(&self) -> &Schedule {
        &self.schedule
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }
}

/// How long, in real time, a run in which nothing will ever happen waits for a thread outside of it, which may
/// hold a lock of the process.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_millis(500);

/// How long, in real time, a thread sleeps that waits again although nothing will ever happen: the run is about to be
/// given up, and the thread stays behind.
const PAUSE_WHEN_STUCK: Duration = Duration::from_millis(10);

impl Scheduler {
    pub(crate) fn new() -> Self {
        let own = Scheduler::default();
        own.lock().shown = own.now.clone();
        own
    }

    /// Virtual time since the start of the run.
    pub(crate) fn now(&self) -> Moment {
        Duration::from_nanos(self.now.load(Ordering::Acquire))
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        let away = Away::go();
        Locked {
            schedule: lock(&self.schedule),
            _away: away,
        }
    }

    /// How often a thread has been picked: as long as that grows, the run goes on.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// A thread outside of the run has woken who waits at `address`.
    pub(crate) fn wake_from_outside(&self, address: usize) {
        spin(&self.woken_from_outside).push(address);
        self.has_woken_from_outside.store(true, Ordering::SeqCst);
    }

    /// Takes in what threads outside of the run have woken.
    fn take_in_wakes(&self, schedule: &mut Schedule) {
        // Asked for every thread that goes on, where exchanging it would cost as much as the rest.
        if !self.has_woken_from_outside.load(Ordering::SeqCst)
            || !self.has_woken_from_outside.swap(false, Ordering::SeqCst)
        {
            return;
        }
        for address in spin(&self.woken_from_outside).drain(..) {
            schedule.wake(address, usize::MAX);
        }
    }

    /// Waits, in real time, until a thread outside of the run wakes one of it; `false` if none does.
    fn wait_for_others(&self) -> bool {
        for _ in 0..PATIENCE_WITH_OTHERS.as_millis() {
            if self.has_woken_from_outside.load(Ordering::SeqCst) {
                return true;
            }
            futex::pause(Duration::from_millis(1));
        }
        false
    }

    /// Waits, as the current thread, at most until `left` has passed.
    pub(crate) fn wait(&self, context: &Context, wait: Wait, left: Option<Duration>) -> Woken {
        let mut schedule = self.lock();
        let deadline = left.map(|left| schedule.now + left);
        schedule.begin_wait(context.thread.id, wait, deadline);
        self.switch(context, schedule);
        context.thread.woken()
    }

    /// Lets every other ready thread go on first.
    pub(crate) fn give_way(&self, context: &Context) {
        let id = context.thread.id;
        let mut schedule = self.lock();
        let standing = schedule.standing(id);
        standing.looks += 1;
        if standing.looks > LOOKS_WITHOUT_TIME {
            let later = schedule.now + TIME_OF_A_LOOK;
            let looks = schedule.standing(id).looks;
            schedule.begin_wait(id, Wait::Sleep, Some(later));
            schedule.standing(id).looks = looks;
        } else {
            schedule.ready.push_back(id);
        }
        self.switch(context, schedule);
    }

    /// Goes on with whoever is next; returns when that is the current thread.
    fn switch<'a>(&'a self, context: &Context, schedule: Locked<'a>) {
        let own = &context.thread;
        let next = self.next(own, schedule);
        if next.id != own.id {
            self.carrier.switch(&own.fiber, &next.fiber);
            context.serve_until_own_turn();
        }
    }

    /// The current thread is at its end: goes on with whoever is next.
    pub(crate) fn leave(&self, current: &Thread) {
        let mut schedule = self.lock();
        schedule.end(current.id);
        let next = self.next(current, schedule);
        self.carrier.hand_over(&next.fiber);
    }

    /// The next thread that goes on, after time has moved as far as it takes.
    fn next<'a>(
        &'a self,
        current: &Thread,
        mut schedule: Locked<'a>,
    ) -> Arc<Thread> {
        loop {
            self.take_in_wakes(&mut schedule);
            if let Some(id) = schedule.ready.pop_front() {
                let thread = schedule.standing(id).thread.clone();
                if thread.host.is_paused() {
                    schedule.held.push(id);
                    continue;
                }
                schedule.working = Some(id);
                // Who goes on because nothing ever happens, and waits once more, does not get on.
                if !schedule.is_stuck {
                    // Only who has the schedule counts.
                    self.steps.store(self.steps() + 1, Ordering::Relaxed);
                }
                return thread;
            }
            match schedule.events.pop_first() {
                Some(((at, _), Event::Deadline(id))) => {
                    schedule.pass_until(at);
                    schedule.resume(id, Woken::ByDeadline);
                }
                Some(((at, _), Event::Arrival(packet))) => {
                    schedule.pass_until(at);
                    schedule = self.arrive(current, schedule, *packet);
                }
                Some(((at, _), Event::Expiry(host))) => {
                    if host.is_dead() || host.is_paused() {
                        continue;
                    }
                    drop(schedule);
                    let is_needed = host.on_main_thread(&self.carrier, current, Kernel::has_to_expire);
                    schedule = self.lock();
                    if is_needed == Some(true) {
                        schedule.pass_until(at);
                        drop(schedule);
                        host.on_main_thread(&self.carrier, current, Kernel::expire);
                        schedule = self.lock();
                    }
                }
                Some(((at, _), Event::Tell(host, id))) => {
                    schedule.pass_until(at);
                    host.tell_within(&mut schedule, id);
                }
                None if !schedule.futexes.is_empty() && self.wait_for_others() => {}
                None => {
                    if schedule.is_stuck {
                        futex::pause(PAUSE_WHEN_STUCK);
                    }
                    schedule.say_stuck();
                }
            }
        }
    }

    /// A packet reaches a host.
    fn arrive<'a>(
        &'a self,
        current: &Thread,
        mut schedule: Locked<'a>,
        packet: Packet,
    ) -> Locked<'a> {
        let Some(host) = schedule.network.host_of(&packet) else {
            schedule.network.answer_for_nobody(&packet);
            schedule.carry();
            return schedule;
        };
        let may_wait = host.may_ignore_acknowledgements() && is_bare(&packet);
        host.receive(schedule.now, packet);
        if host.is_paused() || may_wait {
            return schedule;
        }
        let main = host.main();
        match schedule.standing(main.id).wait {
            Some(Wait::Io) => schedule.resume(main.id, Woken::ByEvent),
            // It is about to go on, and looks by itself.
            None => {}
            // The host's kernel works while its thread waits for something else.
            Some(_) => {
                drop(schedule);
                host.on_main_thread(&self.carrier, current, Kernel::serve);
                schedule = self.lock();
            }
        }
        schedule
    }

    /// Whether `id` is still alive.
    pub(crate) fn is_alive(&self, id: ThreadId) -> bool {
        self.lock().threads.contains_key(&id)
    }
}

impl Schedule {
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// What the system clock of `host` shows.
    pub(crate) fn wall_clock(&self, host: &Host) -> Duration {
        let clock = self.clocks.get(&host.name).copied();
        clock.unwrap_or_default().shows(self.now)
    }

    /// The system clock of the computer that is called `host`.
    pub(crate) fn clock_mut(&mut self, host: &str) -> &mut Clock {
        self.clocks.entry(host.into()).or_default()
    }

    fn pass_until(&mut self, moment: Moment) {
        self.now = self.now.max(moment);
        let nanos = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        self.shown.store(nanos, Ordering::Release);
    }

    fn standing(&mut self, id: ThreadId) -> &mut Standing {
        let standing = self.threads.get_mut(&id);
        standing.unwrap_or_else(|| unreachable!("thread {id} has ended"))
    }

    /// A thread of `host`, which is ready if `is_ready`, or else the one at work.
    pub(crate) fn add(&mut self, host: Arc<Host>, is_ready: bool) -> Arc<Thread> {
        let id = self.thread_count;
        self.thread_count += 1;
        let thread = Arc::new(Thread::new(id, host));
        let standing = Standing {
            thread: thread.clone(),
            wait: None,
            last: None,
            deadline: None,
            looks: 0,
        };
        self.threads.insert(id, standing);
        if is_ready {
            self.ready.push_back(id);
        }
        thread
    }

    /// What the C library calls a thread.
    pub(crate) fn name(&mut self, handle: pthread_t, id: ThreadId) {
        self.names.insert(handle, id);
    }

    pub(crate) fn named(&self, handle: pthread_t) -> Option<ThreadId> {
        self.names.get(&handle).copied()
    }

    /// A thread could not be started after all.
    pub(crate) fn withdraw(&mut self, id: ThreadId) {
        self.ready.retain(|own| *own != id);
        self.threads.remove(&id);
    }

    fn begin_wait(&mut self, id: ThreadId, wait: Wait, deadline: Option<Moment>) {
        let due = deadline.map(|at| self.plan(at, Event::Deadline(id)));
        if let Wait::Futex(address) = wait {
            self.futexes.push((address, id));
        }
        let standing = self.standing(id);
        standing.wait = Some(wait);
        standing.last = Some(wait);
        standing.deadline = due;
        standing.looks = 0;
    }

    /// A packet arrives at `at`.
    pub(crate) fn arrive_at(&mut self, at: Moment, packet: Packet) {
        self.plan(at, Event::Arrival(Box::new(packet)));
    }

    /// The kernel of `host` looks at `at` what has taken too long.
    pub(crate) fn expire_at(&mut self, host: &Arc<Host>, at: Moment) {
        self.plan(at, Event::Expiry(host.clone()));
    }

    /// Something happens at `at` to an open file of `host`.
    pub(crate) fn tell_at(&mut self, host: &Arc<Host>, at: Moment, id: ObjectId) {
        self.plan(at, Event::Tell(host.clone(), id));
    }

    /// The last process whose descriptors are those of the place, in the order of their starts.
    pub(crate) fn process_at(&self, place: usize) -> Option<Arc<Host>> {
        self.processes.iter().skip(place).step_by(PLACES).next_back().cloned()
    }

    /// Adds a process at the place that is next.
    pub(crate) fn add_process(&mut self, host: Arc<Host>) {
        self.processes.push(host);
    }

    /// The place of the next process.
    pub(crate) fn next_place(&self) -> usize {
        self.processes.len()
    }

    /// The run cannot go on: its own thread has to know.
    pub(crate) fn end_for(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
        self.resume_first();
    }

    /// The host whose thread works, and what that thread has waited for last, in words.
    pub(crate) fn working(&self) -> (String, &'static str) {
        let working = self.working.and_then(|id| self.threads.get(&id));
        let Some(working) = working else {
            return ("the run".to_owned(), "had not waited for anything");
        };
        let last = match working.last {
            None => "had not waited for anything",
            Some(Wait::Futex(_)) => "had waited for a lock, a channel or another thread",
            Some(Wait::Io) => "had waited for its sockets",
            Some(Wait::Sleep) => "had slept",
            Some(Wait::End(_)) => "had waited for the end of a thread",
            Some(Wait::Bell) => "had waited for a host to tell it something",
        };
        (working.thread.host.name.to_string(), last)
    }

    fn plan(&mut self, at: Moment, event: Event) -> Due {
        let due = (at.max(self.now), self.due_count);
        self.due_count += 1;
        self.events.insert(due, event);
        due
    }

    /// Ends the wait of a thread, if it waits.
    fn resume(&mut self, id: ThreadId, woken: Woken) {
        let standing = self.standing(id);
        let Some(wait) = standing.wait.take() else {
            return;
        };
        standing.thread.note_woken(woken);
        if let Some(due) = standing.deadline.take() {
            self.events.remove(&due);
        }
        if let Wait::Futex(_) = wait {
            self.futexes.retain(|(_, own)| *own != id);
        }
        self.ready.push_back(id);
    }

    /// Wakes at most `most` threads that wait at `address`, those first that have waited longest.
    pub(crate) fn wake(&mut self, address: usize, most: usize) -> usize {
        let mut count = 0;
        while count < most
            && let Some((_, id)) = self.futexes.iter().find(|(own, _)| *own == address)
        {
            self.resume(*id, Woken::ByEvent);
            count += 1;
        }
        count
    }

    /// Resumes those threads of `host` whose wait `is_over`.
    pub(crate) fn resume_all(&mut self, host: &Host, is_over: impl Fn(Wait) -> bool) {
        // What is asked first lies nearest: most threads wait for something else.
        let over = self.threads.values();
        let over = over.filter(|own| own.wait.is_some_and(&is_over));
        let over = over.filter(|own| *own.thread.host == *host);
        let over: Vec<ThreadId> = over.map(|own| own.thread.id).collect();
        for id in over {
            self.resume(id, Woken::ByEvent);
        }
    }

    /// The threads of `host` that have not ended.
    pub(crate) fn threads_of(&self, host: &Host) -> Vec<ThreadId> {
        let of_host = self
            .threads
            .values()
            .filter(|own| *own.thread.host == *host);
        of_host.map(|own| own.thread.id).collect()
    }

    /// Lets the threads of hosts that are not paused any more go on.
    pub(crate) fn release_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.ready.extend(held);
    }

    fn end(&mut self, id: ThreadId) {
        self.threads.remove(&id);
        let joining = self.threads.values();
        let joining = joining.filter(|own| own.wait == Some(Wait::End(id)));
        let joining: Vec<ThreadId> = joining.map(|own| own.thread.id).collect();
        for other in joining {
            self.resume(other, Woken::ByEvent);
        }
    }

    /// Puts what the network has to carry among what is due.
    pub(crate) fn carry(&mut self) {
        let now = self.now;
        for (at, packet) in self.network.take_departures(now) {
            self.plan(at, Event::Arrival(Box::new(packet)));
        }
        if self.network.has_news() {
            self.ring();
        }
    }

    /// Wakes the run's own thread if it waits for the bell, or else as soon as it does.
    pub(crate) fn ring(&mut self) {
        self.is_rung = true;
        let first = self.threads.values().next();
        if first.is_some_and(|first| first.wait == Some(Wait::Bell)) {
            self.resume_first();
        }
    }

    /// Nothing is ready and nothing is due: the thread that began the run has to know.
    fn say_stuck(&mut self) {
        self.is_stuck = true;
        self.resume_first();
    }

    /// Ends the wait of the run's own thread.
    fn resume_first(&mut self) {
        let first = self.threads.keys().next().copied();
        let first = first.unwrap_or_else(|| unreachable!("the run's own thread is alive"));
        self.resume(first, Woken::ByEvent);
    }
}
