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

/// One direction between two hosts.
struct Way {
    traffic: Traffic,
    /// When the last packet arrives.
    last_arrival: Moment,
    /// `None` from a host to itself, which it reaches sooner than any other.
    jitter: Option<Jitter>,
}

impl Way {
    fn new((from, to): (IpAddr, IpAddr), names: &Names, seed: &[u8; 32]) -> Self {
        let name = |address| name_of(address, names).unwrap_or_default();
        let jitter = || Jitter {
            random: stream(seed, &format!("link from {} to {}", name(from), name(to))),
            last: None,
        };
        Way {
            traffic: Traffic::default(),
            last_arrival: Moment::default(),
            jitter: (!Addresses::is_alias(from)).then(jitter),
        }
    }

    /// Counts a packet, and what a fault does to it.
    fn count(&mut self, affected: Option<Affected>) {
        match affected {
            None => {}
            Some(Affected::Held) => self.traffic.held += 1,
            Some(Affected::Slowed) => self.traffic.slowed += 1,
        }
        self.traffic.packets += 1;
    }

    /// How long a packet takes that departs now.
    fn time(&mut self, links: &Links, now: Moment) -> Duration {
        match &mut self.jitter {
            Some(jitter) => links.latency + jitter.at(now, links.jitter),
            None => WITHIN_A_HOST,
        }
    }
}

/// The jitter of a direction. It follows from the time and from nothing else, so that what is left out of a run changes
/// the latency of no other packet.
struct Jitter {
    random: ChaCha12Rng,
    /// The last one that was asked for, and of which span of time it is.
    last: Option<(u128, u64)>,
}

impl Jitter {
    fn at(&mut self, now: Moment, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let drawn = self.of(now.as_nanos() / JITTER_LASTS.as_nanos());
        Duration::from_nanos(drawn.checked_rem(most).unwrap_or(0))
    }

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

/// The addresses of hosts, by name.
type Names = BTreeMap<Arc<str>, Ipv4Addr>;

/// The name of the host at `address`, if there is one.
fn name_of(address: IpAddr, names: &Names) -> Option<Arc<str>> {
    let found = names.iter().find(|(_, own)| IpAddr::V4(**own) == address);
    found.map(|(name, _)| name.clone())
}

/// The network of a run.
#[derive(Default)]
pub(crate) struct Network {
    links: Links,
    seed: [u8; 32],
    names: Names,
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
    /// Directions that a packet has gone, or wanted to.
    ways: BTreeMap<(IpAddr, IpAddr), Way>,
    /// Directions, from and to, whose faults have affected a packet since somebody asked.
    affected: BTreeSet<(IpAddr, IpAddr, Affected)>,
    /// Whether there is something new among them.
    has_news: bool,
    /// How many connections the processes at each address have asked for so far.
    asked_for: BTreeMap<Ipv4Addr, u32>,
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
        name_of(address, &self.names)
    }

    /// What has gone from each host to each other one; nothing that a host has sent to itself.
    pub(crate) fn traffic(&self) -> BTreeMap<(Arc<str>, Arc<str>), Traffic> {
        let ways = self.ways.iter();
        ways.filter_map(|((from, to), way)| {
            Some(((self.name_of(*from)?, self.name_of(*to)?), way.traffic))
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
            if let Some(way) = self.ways.get_mut(&(packet.src, packet.dst)) {
                way.traffic.packets = way.traffic.packets.saturating_sub(1);
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
            let ends = (packet.src, packet.dst);
            let is_cut = self.cut.contains(&ends);
            let slower = self.slow.get(&ends).copied();
            let affected = match (is_cut, slower) {
                (true, _) => Some(Affected::Held),
                (false, slower) => slower.map(|_| Affected::Slowed),
            };
            if let Some(how) = affected {
                self.has_news |= self.affected.insert((ends.0, ends.1, how));
            }
            let way = self.ways.entry(ends);
            let way = way.or_insert_with(|| Way::new(ends, &self.names, &self.seed));
            way.count(affected);
            if is_cut {
                self.held.push(packet);
                continue;
            }
            let takes = way.time(&self.links, now) + slower.unwrap_or_default();
            way.last_arrival = way.last_arrival.max(now + takes);
            carried.push((way.last_arrival, packet));
        }
        carried
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
