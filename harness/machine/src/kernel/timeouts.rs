//! Timeouts: when a connection that nobody answers is given up.
//!
//! Nothing is lost on this network, so that nothing is sent again; what Linux sends again in vain is for the machine
//! what stays unacknowledged.

use std::net::SocketAddr;
use std::time::Duration;

use turmoil_net::{Packet, TcpFlags, TcpSegment, Transport};

use super::{Kernel, Socket};
use crate::clock::Moment;
use crate::descriptor::ObjectId;
use crate::network::reset;
use crate::symbols::Errno;

/// How long Linux asks for a connection that nobody answers (`tcp_syn_retries`, 1 + 2 + 4 + ... + 64 s).
pub(super) const CONNECT_TIME_MAX: Duration = Duration::from_secs(127);

/// How long Linux sends data again that nobody acknowledges: `tcp_retries2` of
/// <https://docs.kernel.org/networking/ip-sysctl.html>, for its least retransmission timeout.
const RETRIES_TIME_MAX: Duration = Duration::from_millis(924_600);

/// After how long it is seen that a connection has come about that is to be kept alive.
const LOOK_AT_CONNECTING_AFTER: Duration = Duration::from_secs(1);

/// The two ends of a connection, the host's own first.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// What has been sent and not been acknowledged.
pub(super) struct Unacknowledged {
    /// The sequence number that an acknowledgement of all has.
    end: u32,
    /// Since when there is no progress.
    since: Moment,
}

/// How long a connection lives without an answer, as its options say (`tcp(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// `SO_KEEPALIVE`: whether it is asked now and then whether the peer is still there.
    pub(crate) keep_alive: bool,
    /// `TCP_KEEPIDLE`: after how long without a word that begins.
    pub(crate) idle: Duration,
    /// `TCP_KEEPINTVL`: how long each answer is waited for.
    pub(crate) interval: Duration,
    /// `TCP_KEEPCNT`: after how many questions without an answer the connection is given up.
    pub(crate) probes: u32,
    /// `TCP_USER_TIMEOUT`: how long data may be unacknowledged; zero if the operating system decides.
    pub(crate) user_timeout: Duration,
}

impl Default for Lifetime {
    fn default() -> Self {
        Lifetime {
            keep_alive: false,
            idle: Duration::from_secs(7_200),
            interval: Duration::from_secs(75),
            probes: 9,
            user_timeout: Duration::ZERO,
        }
    }
}

/// What is known of a peer that is asked now and then whether it is still there.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    at: Moment,
    asked: u32,
}

/// A question whether the peer is still there, or its answer. turmoil-net knows neither, so that a flag that it does
/// not use marks them, and the kernels of the two hosts deal with them.
fn probe((local, peer): Ends, is_answer: bool) -> Packet {
    let segment = TcpSegment {
        src_port: local.port(),
        dst_port: peer.port(),
        seq: 0,
        ack: 0,
        flags: TcpFlags {
            urg: true,
            ack: is_answer,
            ..TcpFlags::default()
        },
        window: 0,
        payload: Default::default(),
    };
    Packet {
        src: local.ip(),
        dst: peer.ip(),
        ttl: 64,
        payload: Transport::Tcp(segment),
    }
}

impl Kernel {
    /// Notes what of a departing packet has to be acknowledged.
    pub(super) fn note_departure(&mut self, packet: &Packet) {
        let Transport::Tcp(segment) = &packet.payload else {
            return;
        };
        if segment.flags.syn && segment.flags.ack {
            self.note_half_open(packet, segment);
        }
        let ends = (
            SocketAddr::new(packet.src, segment.src_port),
            SocketAddr::new(packet.dst, segment.dst_port),
        );
        let length = segment.payload.len() + usize::from(segment.flags.fin);
        if segment.flags.rst {
            self.awaited.forget(ends);
        }
        if length == 0 || segment.flags.rst {
            return;
        }
        self.awaited.sent(ends, segment.payload.len());
        let end = segment.seq.wrapping_add(length as u32);
        let now = self.scheduler.lock().now();
        let fresh = Unacknowledged { end, since: now };
        self.unacknowledged.entry(ends).or_insert(fresh).end = end;
        // Who has set a shorter time plans for it then.
        let limit = self.shortest_timeout.min(RETRIES_TIME_MAX);
        self.plan_expiry(now + limit);
    }

    /// Notes what a packet that has arrived at `at` acknowledges, and that the peer is there; whether that was all it
    /// had to say.
    pub(super) fn note_arrival(&mut self, at: Moment, ends: Ends, segment: &TcpSegment) -> bool {
        if let Some(heard) = self.heard.get_mut(&ends) {
            *heard = Heard { at, asked: 0 };
        }
        if segment.flags.urg {
            if !segment.flags.ack {
                self.answer_probe(ends);
            }
            return true;
        }
        if segment.flags.rst {
            self.forget(ends);
            self.open_wholly(ends);
        }
        if segment.flags.ack && !segment.flags.syn {
            self.half_open.remove(&ends);
            self.awaited.forget(ends);
        }
        match (segment.flags.syn, segment.flags.ack) {
            (true, false) => drop(self.awaited.half_open.insert(ends)),
            (false, true) => drop(self.awaited.half_open.remove(&ends)),
            _ => {}
        }
        if segment.flags.ack
            && let Some(own) = self.unacknowledged.get_mut(&ends)
        {
            match own.end.wrapping_sub(segment.ack) as i32 <= 0 {
                true => drop(self.unacknowledged.remove(&ends)),
                false => own.since = at,
            }
        }
        false
    }

    /// Ends a connection for its owner here, as a reset by its peer does.
    pub(super) fn end_here(&mut self, ends: Ends) {
        self.forget(ends);
        self.open_wholly(ends);
        self.awaited.forget(ends);
        self.net.deliver(reset(ends.1, ends.0));
    }

    /// A question for a connection was answered, and the answer is not confirmed.
    fn note_half_open(&mut self, packet: &Packet, segment: &TcpSegment) {
        let local = SocketAddr::new(packet.src, segment.src_port);
        let peer = SocketAddr::new(packet.dst, segment.dst_port);
        let confirmation = TcpSegment {
            src_port: segment.dst_port,
            dst_port: segment.src_port,
            seq: segment.ack,
            ack: segment.seq.wrapping_add(1),
            flags: TcpFlags {
                ack: true,
                ..TcpFlags::default()
            },
            window: u16::MAX,
            payload: Default::default(),
        };
        let confirmation = Packet {
            src: packet.dst,
            dst: packet.src,
            ttl: packet.ttl,
            payload: Transport::Tcp(confirmation),
        };
        self.half_open.insert((local, peer), confirmation);
    }

    /// Confirms a connection that is half open and about to be reset: `turmoil-net` would keep one that was reset before
    /// for ever, and with it the peer's port.
    fn open_wholly(&mut self, ends: Ends) {
        if let Some(confirmation) = self.half_open.remove(&ends) {
            self.net.deliver(confirmation);
        }
    }

    fn answer_probe(&mut self, ends: Ends) {
        let is_known = self.asked.contains(&ends)
            || self.closed.contains(&ends)
            || self.socket_of(ends).is_some();
        self.departures.push(match is_known {
            true => probe(ends, true),
            false => reset(ends.0, ends.1),
        });
    }

    fn socket_of(&self, ends: Ends) -> Option<ObjectId> {
        let mut sockets = self.sockets.iter();
        let found = sockets.find(|(_, own)| own.ends() == Some(ends));
        found.map(|(id, _)| *id)
    }

    /// How long a connection lives without an answer.
    pub(crate) fn lifetime(&mut self, id: ObjectId) -> Result<Lifetime, Errno> {
        self.with(id, |socket| socket.lifetime)
    }

    /// Changes how long a connection lives without an answer.
    pub(crate) fn set_lifetime(&mut self, id: ObjectId, lifetime: Lifetime) -> Result<(), Errno> {
        self.with(id, |socket| socket.lifetime = lifetime)?;
        let now = self.scheduler.lock().now();
        if !lifetime.user_timeout.is_zero() {
            self.shortest_timeout = self.shortest_timeout.min(lifetime.user_timeout);
            self.plan_expiry(now + lifetime.user_timeout);
        }
        self.watch(id);
        Ok(())
    }

    /// Begins to note when the peer of a socket is heard of, if it is to be kept alive.
    pub(super) fn watch(&mut self, id: ObjectId) {
        let socket = self.sockets.get(&id);
        let Some(socket) = socket.filter(|own| own.lifetime.keep_alive) else {
            return;
        };
        let idle = socket.lifetime.idle;
        let ends = socket.ends();
        let at = self.scheduler.lock().now();
        if let Some(ends) = ends {
            let fresh = Heard { at, asked: 0 };
            self.heard.entry(ends).or_insert(fresh);
        }
        let next = ends.map_or(LOOK_AT_CONNECTING_AFTER, |_| idle);
        self.plan_expiry(at + next);
    }

    /// Forgets a connection whose owner has closed it.
    pub(super) fn forget(&mut self, ends: Ends) {
        self.unacknowledged.remove(&ends);
        self.heard.remove(&ends);
    }

    /// Sees to it that this kernel looks at `at` for what has taken too long.
    pub(super) fn plan_expiry(&mut self, at: Moment) {
        if self.next_expiry.is_some_and(|next| next <= at) {
            return;
        }
        self.next_expiry = Some(at);
        self.scheduler.lock().expire_at(&self.host, at);
    }

    /// Whether there is anything that may take too long: time does not move for what is over already.
    pub(crate) fn has_to_expire(&mut self) -> bool {
        // What has waited in vain may have been answered.
        self.serve();
        let sockets = &mut self.sockets;
        self.deadlines
            .retain(|id, _| sockets.get_mut(id).is_some_and(|own| own.is_connecting()));
        let is_needed = !self.deadlines.is_empty()
            || !self.unacknowledged.is_empty()
            || self.sockets.values_mut().any(Socket::is_kept_alive);
        if !is_needed {
            self.next_expiry = None;
        }
        is_needed
    }

    /// Gives up what has taken too long.
    pub(crate) fn expire(&mut self) {
        let now = self.scheduler.lock().now();
        if self.next_expiry.is_some_and(|next| next <= now) {
            self.next_expiry = None;
        }
        self.give_up_connecting(now);
        let next_data = self.give_up_sending(now);
        let next_probe = self.ask_peers(now);
        let next_connect = self.deadlines.values().copied().min();
        let next = [next_data, next_probe, next_connect];
        if let Some(next) = next.into_iter().flatten().min() {
            self.plan_expiry(next);
        }
        self.is_dirty = true;
        self.serve();
    }

    fn give_up_connecting(&mut self, now: Moment) {
        let over = self.deadlines.iter().filter(|(_, at)| **at <= now);
        let over: Vec<ObjectId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.deadlines.remove(&id);
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.give_up();
            }
        }
    }

    /// Gives up connections whose data nobody acknowledges; when the next one is to be looked at.
    fn give_up_sending(&mut self, now: Moment) -> Option<Moment> {
        let mut next = None;
        let mut over = Vec::new();
        for (ends, own) in &self.unacknowledged {
            let mut sockets = self.sockets.values();
            let socket = sockets.find(|socket| socket.ends() == Some(*ends));
            let limit = match socket.map(|socket| socket.lifetime.user_timeout) {
                Some(limit) if !limit.is_zero() => limit,
                _ => RETRIES_TIME_MAX,
            };
            let due = own.since + limit;
            match due <= now {
                true => over.push(*ends),
                false => next = Some(next.map_or(due, |next: Moment| next.min(due))),
            }
        }
        for ends in over {
            self.time_out(ends);
        }
        next
    }

    /// Asks peers that have said nothing for long whether they are still there, and gives up those that do not answer;
    /// when the next one is to be asked.
    fn ask_peers(&mut self, now: Moment) -> Option<Moment> {
        let kept = self.sockets.iter();
        let kept = kept.filter(|(_, own)| own.lifetime.keep_alive);
        let kept: Vec<_> = kept
            .map(|(id, own)| (*id, own.lifetime, own.ends()))
            .collect();
        let mut next = None;
        let mut plan = |at: Moment| next = Some(next.map_or(at, |next: Moment| next.min(at)));
        for (id, lifetime, ends) in kept {
            self.watch(id);
            let Some((ends, heard)) = ends.and_then(|own| Some((own, self.heard.get_mut(&own)?)))
            else {
                let socket = self.sockets.get_mut(&id);
                if socket.is_some_and(Socket::is_connecting) {
                    plan(now + LOOK_AT_CONNECTING_AFTER);
                }
                continue;
            };
            let due = heard.at + lifetime.idle + lifetime.interval * heard.asked;
            let is_mute_for_long = heard.asked > 0
                && !lifetime.user_timeout.is_zero()
                && now >= heard.at + lifetime.user_timeout;
            if now < due {
                plan(due);
            } else if is_mute_for_long || heard.asked >= lifetime.probes {
                self.time_out(ends);
            } else {
                heard.asked += 1;
                // Data that is unacknowledged is a question already.
                if !self.unacknowledged.contains_key(&ends) {
                    self.departures.push(probe(ends, false));
                }
                plan(now + lifetime.interval);
            }
        }
        next
    }

    /// Ends a connection that nobody answers; its peer is told nothing.
    fn time_out(&mut self, ends: Ends) {
        if let Some(id) = self.socket_of(ends) {
            let _ = self.with(id, |socket| {
                socket.lifetime.keep_alive = false;
                socket.is_timed_out = true;
            });
        }
        self.end_here(ends);
        self.scheduler.lock().network.drop_held(ends);
    }
}
