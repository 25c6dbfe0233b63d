//! The kernel of a host: its sockets, over turmoil-net's simulated TCP and UDP.
//!
//! turmoil-net belongs to the thread that entered it, so a host's kernel works on the thread that its process
//! began with. Other threads hand it work and wait; a thread that waits for something else does it
//! meanwhile.

mod acknowledgements;
mod datagram;
mod loopback;
mod signals;
mod socket;
mod timeouts;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use turmoil_net::shim::tokio::net::TcpListener;
use turmoil_net::{EnterGuard, KernelConfig, Net, Packet, Transport};

use crate::clock::Moment;
use crate::descriptor::{Kind, Object, ObjectId};
use crate::host::Host;
use crate::lock;
use crate::network::{refusal, reset};
use crate::scheduler::{Scheduler, Wait};
use crate::symbols::Errno;
use crate::fiber::Fiber;
use acknowledgements::Awaited;
pub(crate) use acknowledgements::is_bare;
use datagram::Datagram;
pub(crate) use loopback::Addresses;
use signals::Signals;
use socket::{CHUNK, Socket};
pub(crate) use timeouts::Lifetime;
use timeouts::{CONNECT_TIME_MAX, Ends, Heard, Unacknowledged};

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// The sockets of a host, and the way to the network.
pub(crate) struct Kernel {
    host: Arc<Host>,
    scheduler: Arc<Scheduler>,
    net: EnterGuard,
    addresses: Addresses,
    sockets: BTreeMap<ObjectId, Socket>,
    datagrams: BTreeMap<ObjectId, Datagram>,
    /// Sockets that something has happened to.
    signals: Arc<Signals>,
    /// Sockets that have to be asked once more whether they are ready.
    unsure: BTreeSet<ObjectId>,
    /// Whether turmoil-net may have something to send.
    is_dirty: bool,
    departures: Vec<Packet>,
    /// Connections, by their two ends, whose owner has closed them and will read no more.
    closed: BTreeSet<Ends>,
    /// Connections, by their two ends, that a peer has asked for and whose owner has not closed them.
    asked: BTreeSet<Ends>,
    /// Those of them whose peer has not confirmed the answer, each with the packet that would.
    half_open: BTreeMap<Ends, Packet>,
    /// Until when each connection that is asked for has to come about.
    deadlines: BTreeMap<ObjectId, Moment>,
    unacknowledged: BTreeMap<Ends, Unacknowledged>,
    awaited: Awaited,
    /// Room for what is taken from turmoil-net at once, so that it is made once.
    chunk: Vec<u8>,
    /// When peers were heard of, of connections that are to be kept alive.
    heard: BTreeMap<Ends, Heard>,
    /// The shortest time that data of any connection may be unacknowledged, as their owners wish.
    shortest_timeout: Duration,
    /// When this kernel looks next for what has taken too long.
    next_expiry: Option<Moment>,
}

/// After how long Linux asks for a connection again (RFC 6298, 2.1).
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Work that the kernel of a host does for a thread that waits for it.
pub(crate) struct Job {
    work: Box<dyn FnOnce() + Send>,
    caller: Arc<Fiber>,
}

impl Job {
    /// Does it; who waits for it goes on next.
    pub(crate) fn run(self) -> Arc<Fiber> {
        (self.work)();
        self.caller
    }
}

/// Does `work` with the kernel of the current thread; `None` if it has none.
pub(crate) fn here<R>(work: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    let work =
        |kernel: &RefCell<Option<Kernel>>| Some(work(kernel.try_borrow_mut().ok()?.as_mut()?));
    KERNEL.try_with(work).ok().flatten()
}

/// Does `work` with the kernel of another thread, which `hand` hands it to, for `caller`, who is at work.
pub(crate) fn elsewhere<R: Send + 'static>(
    caller: &Arc<Fiber>,
    work: impl FnOnce(&mut Kernel) -> R + Send + 'static,
    hand: impl FnOnce(Job),
) -> Option<R> {
    let answer = Arc::new(Mutex::new(None));
    let work = {
        let answer = answer.clone();
        // The thread that waits for it may wait for something else next.
        let work = |kernel: &mut Kernel| {
            let done = work(kernel);
            kernel.serve();
            done
        };
        move || *lock(&answer) = here(work)
    };
    hand(Job {
        work: Box::new(work),
        caller: caller.clone(),
    });
    lock(&answer).take()
}

/// Does what is due in the kernel of the current thread, if it has one.
pub(crate) fn serve_here() {
    here(Kernel::serve);
}

/// Gives the current thread the kernel of `host`, until [`uninstall`].
pub(crate) fn install(host: &Arc<Host>, scheduler: &Arc<Scheduler>) {
    // A packet that is not delivered yet is late, not lost: nothing is to be sent twice.
    let config = KernelConfig::default().retx_threshold(u32::MAX);
    let mut net = Net::with_config(config);
    let addresses = Addresses::of(host.address);
    net.add_host(addresses.bound());
    let kernel = Kernel {
        host: host.clone(),
        scheduler: scheduler.clone(),
        net: net.enter(),
        addresses,
        sockets: BTreeMap::new(),
        datagrams: BTreeMap::new(),
        signals: Arc::default(),
        unsure: BTreeSet::new(),
        is_dirty: false,
        departures: Vec::new(),
        closed: BTreeSet::new(),
        asked: BTreeSet::new(),
        half_open: BTreeMap::new(),
        deadlines: BTreeMap::new(),
        unacknowledged: BTreeMap::new(),
        awaited: Awaited::default(),
        chunk: Vec::new(),
        heard: BTreeMap::new(),
        shortest_timeout: Duration::MAX,
        next_expiry: None,
    };
    let connections = scheduler.lock().network.connections(host.address);
    pass_over_ports(connections);
    KERNEL.with(|own| *own.borrow_mut() = Some(kernel));
}

/// Takes as many ports as the processes before this one have had, so that the next connection has one of its own: it is
/// the computer that counts them, and packets of theirs may be on their way still.
fn pass_over_ports(count: u32) {
    let mut nothing = Task::from_waker(Waker::noop());
    for _ in 0..count {
        let binding = pin!(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)));
        let Poll::Ready(Ok(_)) = binding.poll(&mut nothing) else {
            return;
        };
    }
}

/// Closes every socket of the current thread's process.
pub(crate) fn close_here() {
    here(Kernel::close_all);
}

/// Takes the kernel from the current thread, after a last look.
pub(crate) fn uninstall() {
    here(Kernel::close_all);
    KERNEL.with(|own| own.borrow_mut().take());
}

impl Kernel {
    /// Takes in what has arrived, sends what is to be sent, and tells who waits for it.
    pub(crate) fn serve(&mut self) {
        for (at, packet) in self.host.take_packets() {
            self.take_in(at, packet);
        }
        if std::mem::take(&mut self.is_dirty) {
            let answered = self.departures.len();
            self.net.egress_all(&mut self.departures);
            let mut departures = std::mem::take(&mut self.departures);
            for packet in departures.iter_mut().skip(answered) {
                self.note_departure(packet);
            }
            for packet in &mut departures {
                if let Some(returned) = self.addresses.returned(packet) {
                    *packet = returned;
                }
            }
            self.departures = departures;
        }
        if self.host.is_lost() {
            self.departures.clear();
        }
        if !self.departures.is_empty() {
            let mut schedule = self.scheduler.lock();
            schedule.network.depart(self.departures.drain(..));
            schedule.carry();
        }
        let may_ignore = self.awaited.is_nothing();
        self.host.set_may_ignore_acknowledgements(may_ignore);
        self.tell();
    }

    /// Takes in a packet that has arrived at `at`.
    fn take_in(&mut self, at: Moment, packet: Packet) {
        self.is_dirty = true;
        if let Transport::Tcp(segment) = &packet.payload {
            let local = SocketAddr::new(packet.dst, segment.dst_port);
            let peer = SocketAddr::new(packet.src, segment.src_port);
            if self.note_arrival(at, (local, peer), segment) {
                return;
            }
            if segment.flags.syn && !segment.flags.ack && !self.asked.insert((local, peer)) {
                // The peer has lost what it knew of an earlier connection of these ends. Linux finds that out by a
                // question (RFC 5961, 4), and the peer asks again.
                self.end_here((local, peer));
                let mut schedule = self.scheduler.lock();
                let at = schedule.now() + ASKED_AGAIN_AFTER;
                schedule.arrive_at(at, packet);
                drop(schedule);
                if self
                    .sockets
                    .values()
                    .all(|own| own.ends() != Some((local, peer)))
                {
                    self.asked.remove(&(local, peer));
                }
                return;
            }
            if segment.flags.syn || segment.flags.rst || segment.flags.fin {
                self.closed.remove(&(local, peer));
            }
            if segment.flags.fin {
                let mut all = self.sockets.values_mut();
                if let Some(own) = all.find(|own| own.ends() == Some((local, peer))) {
                    own.peer_finishes();
                }
            }
            // Nobody will read it: the sender is told (RFC 9293, 3.6.1), and the connection is over.
            if !segment.payload.is_empty() && self.closed.remove(&(local, peer)) {
                self.departures.push(refusal(&packet, segment));
                self.end_here((local, peer));
                return;
            }
        }
        self.net.deliver(packet);
    }

    /// Tells the host's epoll instances and threads of sockets that something has happened to.
    fn tell(&mut self) {
        let signals = self.signals.take();
        if signals.is_empty() {
            return;
        }
        self.host.count_io();
        let descriptors = lock(&self.host.descriptors);
        for socket in signals {
            descriptors.signal(socket);
        }
        drop(descriptors);
        let mut schedule = self.scheduler.lock();
        schedule.resume_all(&self.host, |wait| wait == Wait::Io);
    }

    /// Asks those sockets that may have become ready unnoticed.
    pub(crate) fn look_again(&mut self) {
        self.serve();
        for id in std::mem::take(&mut self.unsure) {
            if self.readiness(id) != 0 {
                lock(&self.host.descriptors).signal(id);
            }
        }
    }

    /// What a socket is ready for, in epoll's bits; it tells when that changes.
    pub(crate) fn readiness(&mut self, id: ObjectId) -> u32 {
        let ready = self.look(id);
        if ready & libc::EPOLLOUT as u32 != 0 {
            self.awaited.blocked.remove(&id);
        }
        ready
    }

    fn look(&mut self, id: ObjectId) -> u32 {
        if let Some(datagram) = self.datagrams.get_mut(&id) {
            return datagram.readiness();
        }
        let Some(socket) = self.sockets.get_mut(&id) else {
            return 0;
        };
        // Whoever only looks sends nothing, unless a connection comes about by it.
        self.is_dirty |= socket.may_be_connecting();
        socket.readiness()
    }

    /// What an open file is ready for, in epoll's bits.
    pub(crate) fn readiness_of(&mut self, object: &Object) -> u32 {
        match &object.kind {
            Kind::Socket | Kind::Datagram => self.readiness(object.id),
            Kind::Counter(counter) if counter.load(Ordering::SeqCst) > 0 => {
                (libc::EPOLLIN | libc::EPOLLOUT) as u32
            }
            Kind::Counter(_) => libc::EPOLLOUT as u32,
            Kind::Epoll(_) => 0,
            Kind::Pipe(pipe) => pipe.readiness(),
            Kind::Timer(_, timer) if timer.is_due(self.scheduler.lock().now()) => {
                libc::EPOLLIN as u32
            }
            Kind::Timer(..) => 0,
        }
    }

    pub(crate) fn open(&mut self, id: ObjectId) {
        let waker = self.signals.waker(id);
        self.sockets.insert(id, Socket::new(waker));
    }

    pub(crate) fn open_datagram(&mut self, id: ObjectId) {
        let waker = self.signals.waker(id);
        self.datagrams.insert(id, Datagram::new(waker));
    }

    pub(crate) fn close(&mut self, id: ObjectId) {
        self.serve();
        self.unsure.remove(&id);
        self.awaited.blocked.remove(&id);
        self.is_dirty = true;
        self.datagrams.remove(&id);
        let Some(socket) = self.sockets.remove(&id) else {
            return;
        };
        let Some((local, peer)) = socket.ends() else {
            return;
        };
        self.asked.remove(&(local, peer));
        self.forget((local, peer));
        if socket.has_unread() {
            // Its peer is told that not everything was read (RFC 2525, 2.17).
            drop(socket);
            self.departures.push(reset(local, peer));
            self.end_here((local, peer));
        } else {
            self.closed.insert((local, peer));
        }
    }

    /// Resets every connection to `peer`, on both sides. Whether there was one.
    pub(crate) fn reset(&mut self, peer: Ipv4Addr) -> bool {
        let ends = self.sockets.values().filter_map(Socket::ends);
        let ends: Vec<_> = ends.filter(|ends| ends.1.ip() == peer).collect();
        let was_any = !ends.is_empty();
        for (local, peer) in ends {
            self.departures.push(reset(local, peer));
            self.end_here((local, peer));
        }
        self.is_dirty = true;
        self.serve();
        was_any
    }

    /// Closes every socket, as the end of a process does.
    pub(crate) fn close_all(&mut self) {
        let all = self.sockets.keys().chain(self.datagrams.keys());
        let all: Vec<ObjectId> = all.copied().collect();
        for id in all {
            self.close(id);
        }
        self.serve();
    }

    fn with<R>(&mut self, id: ObjectId, work: impl FnOnce(&mut Socket) -> R) -> Result<R, Errno> {
        let socket = self.sockets.get_mut(&id).ok_or(Errno(libc::EBADF))?;
        self.is_dirty = true;
        Ok(work(socket))
    }

    /// A call that may have used up what the socket was ready for.
    fn with_data<R>(
        &mut self,
        id: ObjectId,
        work: impl FnOnce(&mut Socket) -> (R, bool),
    ) -> Result<R, Errno> {
        self.serve();
        let (result, is_used_up) = self.with(id, work)?;
        if is_used_up {
            self.unsure.insert(id);
        }
        Ok(result)
    }

    pub(crate) fn bind(&mut self, id: ObjectId, address: SocketAddr) -> Result<(), Errno> {
        let address = self.addresses.to_bind(address);
        if let Some(datagram) = self.datagrams.get_mut(&id) {
            return datagram.bind(address);
        }
        self.with(id, |socket| socket.bind(address))?
    }

    pub(crate) fn listen(&mut self, id: ObjectId) -> Result<(), Errno> {
        self.with(id, Socket::listen)?
    }

    pub(crate) fn connect(&mut self, id: ObjectId, address: SocketAddr) -> Result<(), Errno> {
        let address = self.addresses.to_reach(address);
        if let Some(datagram) = self.datagrams.get_mut(&id) {
            return datagram.connect(address);
        }
        let result = self.with(id, |socket| socket.connect(address))?;
        if result == Err(Errno(libc::EINPROGRESS)) {
            let mut schedule = self.scheduler.lock();
            schedule.network.count_connection(self.host.address);
            let at = schedule.now() + CONNECT_TIME_MAX;
            drop(schedule);
            self.deadlines.insert(id, at);
            self.plan_expiry(at);
            self.watch(id);
        }
        self.serve();
        result
    }

    /// The next connection of a listener becomes the socket `child`.
    pub(crate) fn accept(&mut self, id: ObjectId, child: ObjectId) -> Result<SocketAddr, Errno> {
        let accepted = self.with_data(id, |socket| {
            let accepted = socket.accept();
            let is_used_up = accepted.as_ref().err() == Some(&Errno(libc::EAGAIN));
            (accepted, is_used_up)
        })?;
        let (stream, peer) = accepted?;
        let lifetime = self.lifetime(id)?;
        self.open(child);
        self.with(child, |socket| socket.becomes(stream, lifetime))?;
        self.watch(child);
        Ok(self.addresses.shown(peer, peer).1)
    }

    pub(crate) fn receive(
        &mut self,
        id: ObjectId,
        into: &mut [u8],
        peek: bool,
    ) -> Result<usize, Errno> {
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(CHUNK, 0);
        let received = self.with_data(id, |socket| {
            let received = socket.receive(into, peek, &mut chunk);
            let is_used_up = received.is_ok_and(|count| count < into.len())
                || received == Err(Errno(libc::EAGAIN));
            (received, is_used_up)
        });
        self.chunk = chunk;
        received?
    }

    pub(crate) fn send(&mut self, id: ObjectId, bytes: &[u8]) -> Result<usize, Errno> {
        let (sent, ends, is_used_up) = self.with_data(id, |socket| {
            let sent = socket.send(bytes);
            let is_used_up =
                sent.is_ok_and(|count| count < bytes.len()) || sent == Err(Errno(libc::EAGAIN));
            ((sent, socket.ends(), is_used_up), is_used_up)
        })?;
        if is_used_up {
            self.awaited.blocked.insert(id);
        }
        if let (Ok(count), Some(ends)) = (sent, ends) {
            self.awaited.written(ends, count);
        }
        sent
    }

    pub(crate) fn receive_datagram(
        &mut self,
        id: ObjectId,
        into: &mut [u8],
        peek: bool,
    ) -> Result<(usize, SocketAddr), Errno> {
        self.serve();
        let datagram = self.datagrams.get_mut(&id).ok_or(Errno(libc::EBADF))?;
        let received = datagram.receive(into, peek);
        // A socket may have several datagrams: it is ready until it says that it is not.
        self.unsure.insert(id);
        let (count, from) = received?;
        Ok((count, self.addresses.shown(from, from).1))
    }

    pub(crate) fn send_datagram(
        &mut self,
        id: ObjectId,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let to = to.map(|to| self.addresses.to_reach(to));
        let datagram = self.datagrams.get_mut(&id).ok_or(Errno(libc::EBADF))?;
        let sent = datagram.send(bytes, to)?;
        self.is_dirty = true;
        Ok(sent)
    }

    pub(crate) fn shut_down(&mut self, id: ObjectId, how: i32) -> Result<(), Errno> {
        self.with(id, |socket| socket.shut_down(how))?
    }

    pub(crate) fn local_address(&mut self, id: ObjectId) -> Result<SocketAddr, Errno> {
        let addresses = self.addresses;
        if let Some(datagram) = self.datagrams.get_mut(&id) {
            let bound = datagram.local_address()?;
            return Ok(addresses.shown_bound(bound));
        }
        self.with(id, |socket| match socket.ends() {
            Some((local, peer)) => Ok(addresses.shown(local, peer).0),
            None => socket.bound().map(|bound| addresses.shown_bound(bound)),
        })?
    }

    pub(crate) fn peer_address(&mut self, id: ObjectId) -> Result<SocketAddr, Errno> {
        let addresses = self.addresses;
        if let Some(datagram) = self.datagrams.get_mut(&id) {
            let peer = datagram.peer_address()?;
            return Ok(addresses.shown(peer, peer).1);
        }
        let ends = self.with(id, |socket| socket.ends())?;
        let (local, peer) = ends.ok_or(Errno(libc::ENOTCONN))?;
        Ok(addresses.shown(local, peer).1)
    }

    /// The error that waits to be asked for.
    pub(crate) fn take_error(&mut self, id: ObjectId) -> Result<Option<Errno>, Errno> {
        self.with(id, Socket::take_error)
    }
}

/// A task that wakes `waker`.
fn task(waker: &Waker) -> Task<'_> {
    Task::from_waker(waker)
}
