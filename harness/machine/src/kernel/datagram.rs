//! A datagram socket: what the calls of the C library do to UDP.
//!
//! A datagram for a port that nobody listens to is lost in silence: there is no ICMP.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Poll, Waker};

use libc::{EPOLLIN, EPOLLOUT};
use turmoil_net::shim::tokio::net::UdpSocket;

use super::socket::{at_once, errno};
use super::task;
use crate::symbols::Errno;

/// A datagram socket of a host.
pub(super) struct Datagram {
    /// It is bound at the first call that needs it.
    socket: Option<UdpSocket>,
    waker: Waker,
}

impl Datagram {
    pub(super) fn new(waker: Waker) -> Self {
        Datagram {
            socket: None,
            waker,
        }
    }

    pub(super) fn bind(&mut self, address: SocketAddr) -> Result<(), Errno> {
        if self.socket.is_some() {
            return Err(Errno(libc::EINVAL));
        }
        let binding = pin!(UdpSocket::bind(address));
        let socket = at_once(binding.poll(&mut task(&self.waker)))?;
        self.socket = Some(socket);
        Ok(())
    }

    fn bound(&mut self) -> Result<&UdpSocket, Errno> {
        if self.socket.is_none() {
            self.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        }
        self.socket.as_ref().ok_or(Errno(libc::EBADF))
    }

    /// From now on it sends to `peer` and hears of nobody else.
    pub(super) fn connect(&mut self, peer: SocketAddr) -> Result<(), Errno> {
        let waker = self.waker.clone();
        let connecting = pin!(self.bound()?.connect(peer));
        at_once(connecting.poll(&mut task(&waker)))
    }

    pub(super) fn send(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> Result<usize, Errno> {
        let socket = self.bound()?;
        let sent = match to {
            Some(to) => socket.try_send_to(bytes, to),
            None if socket.peer_addr().is_err() => return Err(Errno(libc::EDESTADDRREQ)),
            None => socket.try_send(bytes),
        };
        sent.map_err(|error| errno(&error))
    }

    /// The next datagram, or as much of it as there is room for, and who has sent it.
    pub(super) fn receive(
        &mut self,
        into: &mut [u8],
        peek: bool,
    ) -> Result<(usize, SocketAddr), Errno> {
        let waker = self.waker.clone();
        let socket = self.bound()?;
        if peek {
            let peeking = pin!(socket.peek_from(into));
            at_once(peeking.poll(&mut task(&waker)))
        } else {
            socket.try_recv_from(into).map_err(|error| errno(&error))
        }
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, Errno> {
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        match &self.socket {
            Some(socket) => socket.local_addr().map_err(|error| errno(&error)),
            None => Ok(anywhere),
        }
    }

    pub(super) fn peer_address(&self) -> Result<SocketAddr, Errno> {
        let peer = self.socket.as_ref().map(UdpSocket::peer_addr);
        let peer = peer.and_then(Result::ok);
        peer.ok_or(Errno(libc::ENOTCONN))
    }

    /// What it is ready for, in epoll's bits; its waker is woken when that changes.
    pub(super) fn readiness(&mut self) -> u32 {
        let Some(socket) = &self.socket else {
            return EPOLLOUT as u32;
        };
        let mut byte = [0; 1];
        let peeking = pin!(socket.peek_from(&mut byte));
        let can_read = match peeking.poll(&mut task(&self.waker)) {
            Poll::Ready(_) => EPOLLIN,
            Poll::Pending => 0,
        };
        (can_read | EPOLLOUT) as u32
    }
}
