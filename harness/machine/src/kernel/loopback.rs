//! The loopback: how a host reaches itself.
//!
//! turmoil-net hands packets to the same host over at once, where nothing of them can be seen. So a connection to
//! oneself goes to an alias that turmoil-net takes for a foreign address; its packets come back with the
//! alias for their sender.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use turmoil_net::{Packet, Transport};

/// The addresses of a host, as turmoil-net knows them.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    /// Its address on the network.
    own: Ipv4Addr,
    /// What 127.0.0.1 is bound to.
    local: Ipv4Addr,
    /// What 127.0.0.1 is called by whoever connects to it.
    local_alias: Ipv4Addr,
    /// What the host's own address is called by itself.
    own_alias: Ipv4Addr,
}

impl Addresses {
    /// Whether a packet comes from the host that it is for.
    pub(crate) fn is_alias(sender: IpAddr) -> bool {
        let IpAddr::V4(sender) = sender else {
            return false;
        };
        matches!(sender.octets(), [10, 254 | 255, ..])
    }

    pub(crate) fn of(own: Ipv4Addr) -> Self {
        let [_, _, high, low] = own.octets();
        Addresses {
            own,
            local: Ipv4Addr::new(10, 253, high, low),
            own_alias: Ipv4Addr::new(10, 254, high, low),
            local_alias: Ipv4Addr::new(10, 255, high, low),
        }
    }

    /// The addresses that are the host's.
    pub(crate) fn bound(&self) -> [IpAddr; 2] {
        [self.own.into(), self.local.into()]
    }

    /// Where to bind for `address`.
    pub(super) fn to_bind(self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            ip if ip.is_loopback() => SocketAddr::from((self.local, address.port())),
            _ => address,
        }
    }

    /// Where to connect for `address`.
    pub(super) fn to_reach(self, address: SocketAddr) -> SocketAddr {
        let port = address.port();
        match address.ip() {
            ip if ip.is_loopback() || ip.is_unspecified() => {
                SocketAddr::from((self.local_alias, port))
            }
            ip if ip == self.own => SocketAddr::from((self.own_alias, port)),
            _ => address,
        }
    }

    /// The ends of a connection, as its owner is to see them.
    pub(super) fn shown(self, local: SocketAddr, peer: SocketAddr) -> (SocketAddr, SocketAddr) {
        let is_local = peer.ip() == self.local_alias;
        let ip = match peer.ip() {
            _ if is_local => Ipv4Addr::LOCALHOST.into(),
            ip if ip == self.own_alias => self.own.into(),
            ip => ip,
        };
        let own = match is_local {
            true => Ipv4Addr::LOCALHOST.into(),
            false => local.ip(),
        };
        (
            SocketAddr::new(own, local.port()),
            SocketAddr::new(ip, peer.port()),
        )
    }

    /// A bound address, as its owner is to see it.
    pub(super) fn shown_bound(self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            ip if ip == self.local => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
            _ => address,
        }
    }

    /// A packet to an alias, as it comes back; `None` if it is for another host.
    pub(super) fn returned(self, packet: &Packet) -> Option<Packet> {
        // A datagram has no connection whose end could be at the other address.
        let is_a_segment = matches!(packet.payload, Transport::Tcp(_));
        let is_from_local = packet.src == self.local && is_a_segment;
        let (alias, to) = match packet.dst {
            ip if ip == self.own_alias => (self.own_alias, self.own),
            ip if ip == self.local_alias && is_from_local => (self.local_alias, self.own),
            ip if ip == self.local_alias => (self.local_alias, self.local),
            _ => return None,
        };
        Some(Packet {
            src: alias.into(),
            dst: to.into(),
            ..packet.clone()
        })
    }
}
