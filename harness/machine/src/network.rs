//! The network: who is where, and how long packets take between them.
//!
//! Packets of one direction between two hosts keep their order, and none is lost: what a real network loses
//! is sent again, which is late. A link that is cut keeps its packets until it is whole again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use turmoil_net::{Packet, TcpFlags, TcpSegment, Transport};

use crate::clock::Moment;
use crate::host::Host;
use crate::kernel::Addresses;
use crate::link::{Affected, Links, Traffic};
use crate::machine::stream;

/// For how long the jitter of a direction stays the same.
const JITTER_LASTS: Duration = Duration::from_millis(1);
/// How many words of a random stream one jitter is taken from.
const WORDS_EACH: u128 = 2;

/// How long packets take from a host to itself.
const WITHIN_A_HOST: Duration = Duration::from_micros(10);

/// A name that stands for several hosts.
struct Alias {
    addresses: Vec<Ipv4Addr>,
    /// How often it was asked for.
    asked: usize,
}

/// The jitter of a direction.
struct Jitter {
    random: ChaCha12Rng,
    /// The last one that was asked for, and of which span of time it is.
    last: Option<(u128, u64)>,
}

impl Jitter {
    /// What the jitter of a span is taken from.
    fn of(&mut self, span: u128) -> u64 {
        if let Some((known, drawn)) = self.last
            && known == span
        {
            return drawn;
        }
        self.random.set_word_pos(span * WORDS_EACH);
        let drawn = self.random.next_u64();
        self.last = Some((span, drawn));
        drawn
    }
}

/// The network of a run.
#[derive(Default)]
pub(crate) struct Network {
    links: Links,
    seed: [u8; 32],
    /// The jitter of each direction.
    jitters: BTreeMap<(IpAddr, IpAddr), Jitter>,
    names: BTreeMap<Arc<str>, Ipv4Addr>,
    /// Names that stand for several hosts.
    aliases: BTreeMap<Arc<str>, Alias>,
    /// The process at each address, while it lives.
    hosts: BTreeMap<IpAddr, Arc<Host>>,
    /// Computers that are gone, and answer nothing.
    lost: BTreeSet<IpAddr>,
    /// How much longer packets of a direction take than those of others.
    slow: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// Directions that are cut, from and to.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    /// Packets that wait for their link to be whole again.
    held: Vec<Packet>,
    departures: Vec<Packet>,
    traffic: BTreeMap<(IpAddr, IpAddr), Traffic>,
    /// Directions, from and to, whose faults have affected a packet since somebody asked.
    affected: BTreeSet<(IpAddr, IpAddr, Affected)>,
    /// Whether there is something new among them.
    has_news: bool,
    /// How many connections the processes at each address have asked for so far.
    asked_for: BTreeMap<Ipv4Addr, u32>,
    /// When the last packet of each direction arrives.
    last_arrivals: BTreeMap<(IpAddr, IpAddr), Moment>,
}

impl Network {
    pub(crate) fn new(links: Links, seed: [u8; 32]) -> Self {
        Network {
            links,
            seed,
            ..Network::default()
        }
    }

    /// The address of `name`, a new one if it is new.
    pub(crate) fn address_of(&mut self, name: &str) -> Ipv4Addr {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 168, 0, 1)) + number);
        self.names.insert(name.into(), address);
        address
    }

    /// The addresses of `name`, the one first whose turn it is; none if there is no such host.
    pub(crate) fn lookup(&mut self, name: &str) -> Vec<Ipv4Addr> {
        let Some(alias) = self.aliases.get_mut(name) else {
            return self.names.get(name).copied().into_iter().collect();
        };
        let mut addresses = alias.addresses.clone();
        if !addresses.is_empty() {
            let turn = alias.asked % addresses.len();
            addresses.rotate_left(turn);
        }
        alias.asked += 1;
        addresses
    }

    /// Makes `alias` stand for several hosts.
    pub(crate) fn set_alias(&mut self, alias: &str, names: &[&str]) {
        let addresses = names.iter().map(|name| self.address_of(name)).collect();
        let asked = self.aliases.get(alias).map_or(0, |own| own.asked);
        let own = Alias { addresses, asked };
        self.aliases.insert(alias.into(), own);
    }

    /// The name of the host at `address`, if there is one.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        let mut names = self.names.iter();
        let found = names.find(|(_, own)| IpAddr::V4(**own) == address);
        found.map(|(name, _)| name.clone())
    }

    /// What has gone from each host to each other one; nothing that a host has sent to itself.
    pub(crate) fn traffic(&self) -> BTreeMap<(Arc<str>, Arc<str>), Traffic> {
        let ways = self.traffic.iter();
        ways.filter_map(|((from, to), traffic)| {
            Some(((self.name_of(*from)?, self.name_of(*to)?), *traffic))
        })
        .collect()
    }

    /// Takes the directions whose faults have affected a packet.
    pub(crate) fn take_affected(&mut self) -> Vec<(Arc<str>, Arc<str>, Affected)> {
        let affected = std::mem::take(&mut self.affected);
        let affected = affected.into_iter();
        affected
            .filter_map(|(from, to, how)| Some((self.name_of(from)?, self.name_of(to)?, how)))
            .collect()
    }

    /// Whether a fault has affected the first packet of its kind since this was asked, or [`Network::take_affected`].
    pub(crate) fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Counts a packet, and what a fault does to it.
    fn count(&mut self, (from, to): (IpAddr, IpAddr), affected: Option<Affected>) {
        let traffic = self.traffic.entry((from, to)).or_default();
        match affected {
            None => {}
            Some(Affected::Held) => traffic.held += 1,
            Some(Affected::Slowed) => traffic.slowed += 1,
        }
        traffic.packets += 1;
        if let Some(how) = affected {
            self.has_news |= self.affected.insert((from, to, how));
        }
    }

    pub(crate) fn join(&mut self, host: &Arc<Host>) {
        for address in Addresses::of(host.address).bound() {
            self.hosts.insert(address, host.clone());
            self.lost.remove(&address);
        }
    }

    /// The process of `host` has ended.
    pub(crate) fn part(&mut self, host: &Host) {
        self.hosts.retain(|_, own| **own != *host);
        let own = IpAddr::V4(host.address);
        let held = std::mem::take(&mut self.held);
        self.held = held.into_iter().filter_map(|packet| outliving(packet, own)).collect();
    }

    /// A process at this address asks for a connection.
    pub(crate) fn count_connection(&mut self, from: Ipv4Addr) {
        *self.asked_for.entry(from).or_default() += 1;
    }

    /// How many connections processes at this address have asked for so far.
    pub(crate) fn connections(&self, from: Ipv4Addr) -> u32 {
        self.asked_for.get(&from).copied().unwrap_or_default()
    }

    /// The computer of `host` is gone.
    pub(crate) fn lose(&mut self, host: &Host) {
        self.lost.insert(host.address.into());
    }

    /// Makes packets from one host to another take longer.
    pub(crate) fn slow_down(&mut self, from: Ipv4Addr, to: Ipv4Addr, by: Duration) {
        let way = (from.into(), to.into());
        match by.is_zero() {
            true => self.slow.remove(&way),
            false => self.slow.insert(way, by),
        };
    }

    /// The living process that a packet is for.
    pub(crate) fn host_of(&self, packet: &Packet) -> Option<Arc<Host>> {
        self.hosts.get(&packet.dst).cloned()
    }

    /// Cuts the way from one host to another.
    pub(crate) fn cut(&mut self, from: Ipv4Addr, to: Ipv4Addr) {
        self.cut.insert((from.into(), to.into()));
    }

    /// Makes the way from one host to another whole; what was held goes on.
    pub(crate) fn mend(&mut self, from: Ipv4Addr, to: Ipv4Addr) {
        self.cut.remove(&(from.into(), to.into()));
        let cut = &self.cut;
        let goes_on = |packet: &mut Packet| !cut.contains(&(packet.src, packet.dst));
        let go_on: Vec<Packet> = self.held.extract_if(.., goes_on).collect();
        self.depart_again(go_on);
    }

    /// Makes every link whole and as fast as others; what was held goes on.
    pub(crate) fn heal(&mut self) {
        self.slow.clear();
        self.cut.clear();
        let held = std::mem::take(&mut self.held);
        self.depart_again(held);
    }

    fn depart_again(&mut self, packets: Vec<Packet>) {
        for packet in packets {
            // It was counted when it met the link that was cut; what stands for another packet was not.
            if let Some(traffic) = self.traffic.get_mut(&(packet.src, packet.dst)) {
                traffic.packets = traffic.packets.saturating_sub(1);
            }
            self.departures.push(packet);
        }
    }

    /// Takes back what one end of a connection, which it has given up, has sent to the other and is held.
    pub(crate) fn drop_held(&mut self, (from, to): (SocketAddr, SocketAddr)) {
        self.held.retain(|packet| match &packet.payload {
            Transport::Tcp(segment) => {
                let sender = SocketAddr::new(packet.src, segment.src_port);
                (sender, SocketAddr::new(packet.dst, segment.dst_port)) != (from, to)
            }
            Transport::Udp(_) => true,
        });
    }

    pub(crate) fn depart(&mut self, packets: impl Iterator<Item = Packet>) {
        self.departures.extend(packets);
    }

    /// What departs, each packet with the moment at which it arrives.
    pub(crate) fn take_departures(&mut self, now: Moment) -> Vec<(Moment, Packet)> {
        let mut carried = Vec::new();
        for packet in std::mem::take(&mut self.departures) {
            let way = (packet.src, packet.dst);
            if self.cut.contains(&way) {
                self.count(way, Some(Affected::Held));
                self.held.push(packet);
                continue;
            }
            let is_slow = self.slow.contains_key(&way);
            self.count(way, is_slow.then_some(Affected::Slowed));
            let at = now + self.time_between(packet.src, packet.dst, now);
            let last = self.last_arrivals.entry(way).or_default();
            *last = at.max(*last);
            carried.push((*last, packet));
        }
        carried
    }

    /// How long a packet takes; a host reaches itself sooner than any other.
    fn time_between(&mut self, from: IpAddr, to: IpAddr, now: Moment) -> Duration {
        if Addresses::is_alias(from) {
            return WITHIN_A_HOST;
        }
        let slower = self.slow.get(&(from, to)).copied();
        self.links.latency + self.jitter((from, to), now) + slower.unwrap_or_default()
    }

    /// The jitter of a direction at a time. It follows from nothing else, so that what is left out of a run changes the
    /// latency of no other packet.
    fn jitter(&mut self, way: (IpAddr, IpAddr), now: Moment) -> Duration {
        let most = u64::try_from(self.links.jitter.as_nanos()).unwrap_or(u64::MAX);
        if !self.jitters.contains_key(&way) {
            let name = |address| self.name_of(address).unwrap_or_default();
            let link = format!("link from {} to {}", name(way.0), name(way.1));
            let (random, last) = (stream(&self.seed, &link), None);
            self.jitters.insert(way, Jitter { random, last });
        }
        let Some(jitter) = self.jitters.get_mut(&way) else {
            return Duration::ZERO;
        };
        let drawn = jitter.of(now.as_nanos() / JITTER_LASTS.as_nanos());
        Duration::from_nanos(drawn.checked_rem(most).unwrap_or(0))
    }

    /// A computer without the process that a packet is for refuses it.
    pub(crate) fn answer_for_nobody(&mut self, packet: &Packet) {
        let Transport::Tcp(segment) = &packet.payload else {
            return;
        };
        let is_of_a_host = self
            .names
            .values()
            .any(|own| IpAddr::V4(*own) == packet.dst);
        if segment.flags.rst || !is_of_a_host || self.lost.contains(&packet.dst) {
            return;
        }
        self.departures.push(refusal(packet, segment));
    }
}

/// What becomes of a packet that waits at a link which is cut, when the process at the address `own` has ended. Packets
/// that wait stand for those that are sent again and again: nobody asks any more for a connection of that process, and
/// what is sent to it will meet a computer that knows nothing of it.
fn outliving(packet: Packet, own: IpAddr) -> Option<Packet> {
    let Transport::Tcp(segment) = &packet.payload else {
        return Some(packet);
    };
    let flags = segment.flags;
    if packet.src == own {
        let asks = flags.syn && !flags.ack;
        return (!asks).then_some(packet);
    }
    match packet.dst == own {
        true if flags.rst => None,
        true => Some(refusal(&packet, segment)),
        false => Some(packet),
    }
}

/// What a computer answers to a segment that belongs to no connection of it (RFC 9293, 3.5.2).
pub(crate) fn refusal(packet: &Packet, segment: &TcpSegment) -> Packet {
    let flags = segment.flags;
    let length = segment.payload.len() + usize::from(flags.syn) + usize::from(flags.fin);
    let (seq, ack) = match flags.ack {
        true => (segment.ack, 0),
        false => (0, segment.seq.wrapping_add(length as u32)),
    };
    let mut refusal = reset(
        SocketAddr::new(packet.dst, segment.dst_port),
        SocketAddr::new(packet.src, segment.src_port),
    );
    if let Transport::Tcp(own) = &mut refusal.payload {
        (own.seq, own.ack, own.flags.ack) = (seq, ack, !flags.ack);
    }
    refusal
}

/// The end of the connection between `from` and `to`, as `from` tells it.
pub(crate) fn reset(from: SocketAddr, to: SocketAddr) -> Packet {
    let segment = TcpSegment {
        src_port: from.port(),
        dst_port: to.port(),
        seq: 0,
        ack: 0,
        flags: TcpFlags {
            rst: true,
            ..TcpFlags::default()
        },
        window: 0,
        payload: Default::default(),
    };
    Packet {
        src: from.ip(),
        dst: to.ip(),
        ttl: 64,
        payload: Transport::Tcp(segment),
    }
}
