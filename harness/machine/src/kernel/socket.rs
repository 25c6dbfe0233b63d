//! A socket: what the calls of the C library do to a TCP connection or a listener.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Poll, Waker};

use libc::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};
use tokio::io::{AsyncWrite, ReadBuf};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

use super::{Lifetime, task};
use crate::symbols::Errno;

/// A socket of a host.
pub(super) struct Socket {
    state: State,
    /// What wakes whoever waits for this socket.
    waker: Waker,
    /// The error that `SO_ERROR` tells, and the next call.
    error: Option<Errno>,
    /// Whether the reset of the connection has been told: from then on it is just at its end.
    is_reset_told: bool,
    /// Whether the peer has said that it sends no more.
    is_peer_finished: bool,
    is_read_shut: bool,
    is_write_shut: bool,
    /// How long it lives without an answer.
    pub(super) lifetime: Lifetime,
    /// Whether its end was that nobody answered: what turmoil-net takes for a reset.
    pub(super) is_timed_out: bool,
    /// What has been taken from turmoil-net and not been read.
    incoming: VecDeque<u8>,
}

/// As much as turmoil-net keeps for a reader. It tells the sender that there is room again only if half of
/// that is taken at once, so whoever reads little by little is served from what is taken here.
pub(super) const CHUNK: usize = 64 * 1024;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

enum State {
    /// Neither connected nor listening, perhaps bound.
    Fresh(Option<SocketAddr>),
    Connecting(Connecting),
    Stream(TcpStream),
    Listener(TcpListener, VecDeque<(TcpStream, SocketAddr)>),
    /// A connection that did not come about.
    Failed,
}

/// The number of an error that turmoil-net names by its kind.
pub(super) fn errno(error: &io::Error) -> Errno {
    use io::ErrorKind as Kind;
    let by_kind = match error.kind() {
        Kind::WouldBlock => libc::EAGAIN,
        Kind::ConnectionRefused => libc::ECONNREFUSED,
        Kind::ConnectionReset => libc::ECONNRESET,
        Kind::ConnectionAborted => libc::ECONNABORTED,
        Kind::BrokenPipe => libc::EPIPE,
        Kind::NotConnected => libc::ENOTCONN,
        Kind::TimedOut => libc::ETIMEDOUT,
        Kind::AddrInUse => libc::EADDRINUSE,
        Kind::AddrNotAvailable => libc::EADDRNOTAVAIL,
        Kind::InvalidInput => libc::EINVAL,
        _ => libc::EIO,
    };
    Errno(error.raw_os_error().unwrap_or(by_kind))
}

/// The result of a call that does not wait.
pub(super) fn at_once<T>(poll: Poll<io::Result<T>>) -> Result<T, Errno> {
    match poll {
        Poll::Ready(result) => result.map_err(|error| errno(&error)),
        Poll::Pending => Err(Errno(libc::EAGAIN)),
    }
}

impl Socket {
    pub(super) fn new(waker: Waker) -> Self {
        Socket {
            state: State::Fresh(None),
            waker,
            error: None,
            is_reset_told: false,
            is_peer_finished: false,
            is_read_shut: false,
            is_write_shut: false,
            lifetime: Lifetime::default(),
            is_timed_out: false,
            incoming: VecDeque::new(),
        }
    }

    /// It is an accepted connection.
    pub(super) fn becomes(&mut self, stream: TcpStream, lifetime: Lifetime) {
        self.lifetime = lifetime;
        self.state = State::Stream(stream);
    }

    /// The peer has said that it sends no more.
    pub(super) fn peer_finishes(&mut self) {
        self.is_peer_finished = true;
    }

    pub(super) fn bind(&mut self, address: SocketAddr) -> Result<(), Errno> {
        match &mut self.state {
            State::Fresh(bound @ None) => {
                *bound = Some(address);
                Ok(())
            }
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    pub(super) fn listen(&mut self) -> Result<(), Errno> {
        match &self.state {
            State::Listener(..) => return Ok(()),
            State::Fresh(_) => {}
            _ => return Err(Errno(libc::EINVAL)),
        }
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let bound = match &self.state {
            State::Fresh(Some(bound)) => *bound,
            _ => anywhere,
        };
        let mut listening = Box::pin(TcpListener::bind(bound));
        let listener = at_once(listening.as_mut().poll(&mut task(&self.waker)))?;
        self.state = State::Listener(listener, VecDeque::new());
        Ok(())
    }

    pub(super) fn connect(&mut self, address: SocketAddr) -> Result<(), Errno> {
        match &self.state {
            State::Fresh(_) | State::Failed => {}
            State::Connecting(..) => {
                self.go_on_connecting();
                return match self.error.take() {
                    Some(error) => Err(error),
                    None if matches!(self.state, State::Stream(_)) => Ok(()),
                    None => Err(Errno(libc::EALREADY)),
                };
            }
            State::Stream(_) => return Err(Errno(libc::EISCONN)),
            State::Listener(..) => return Err(Errno(libc::EISCONN)),
        }
        self.state = State::Connecting(Box::pin(TcpStream::connect(address)));
        self.go_on_connecting();
        match self.error.take() {
            Some(error) => Err(error),
            None => Err(Errno(libc::EINPROGRESS)),
        }
    }

    fn go_on_connecting(&mut self) {
        let State::Connecting(connecting) = &mut self.state else {
            return;
        };
        match connecting.as_mut().poll(&mut task(&self.waker)) {
            Poll::Ready(Ok(stream)) => self.state = State::Stream(stream),
            Poll::Ready(Err(error)) => {
                self.error = Some(errno(&error));
                self.state = State::Failed;
            }
            Poll::Pending => {}
        }
    }

    /// Whether it has asked for a connection, and was not seen to have one.
    pub(super) fn may_be_connecting(&self) -> bool {
        matches!(self.state, State::Connecting(_))
    }

    pub(super) fn is_connecting(&mut self) -> bool {
        self.go_on_connecting();
        self.may_be_connecting()
    }

    /// Whether its peer is to be asked now and then whether it is still there.
    pub(super) fn is_kept_alive(&mut self) -> bool {
        self.lifetime.keep_alive && (self.is_connecting() || matches!(self.state, State::Stream(_)))
    }

    /// It has asked for a connection for too long.
    pub(super) fn give_up(&mut self) {
        self.go_on_connecting();
        if let State::Connecting(_) = &self.state {
            self.state = State::Failed;
            self.error = Some(Errno(libc::ETIMEDOUT));
            self.waker.wake_by_ref();
        }
    }

    pub(super) fn accept(&mut self) -> Result<(TcpStream, SocketAddr), Errno> {
        let State::Listener(listener, accepted) = &mut self.state else {
            return Err(Errno(libc::EINVAL));
        };
        match accepted.pop_front() {
            Some(found) => Ok(found),
            None => at_once(listener.poll_accept(&mut task(&self.waker))),
        }
    }

    /// Fills `into`, or a part of it; zero at the end of the stream. Whatever is in `chunk`, which has [`CHUNK`] bytes,
    /// is lost.
    pub(super) fn receive(
        &mut self,
        into: &mut [u8],
        peek: bool,
        chunk: &mut [u8],
    ) -> Result<usize, Errno> {
        self.go_on_connecting();
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let State::Stream(stream) = &self.state else {
            return Err(self.unconnected());
        };
        if self.is_read_shut || self.is_reset_told || into.is_empty() {
            return Ok(0);
        }
        let received = match self.incoming.is_empty() {
            // A reset comes before what was not read.
            false if is_reset(stream, &self.waker) => {
                self.incoming.clear();
                Err(Errno(libc::ECONNRESET))
            }
            false => Ok(self.take_incoming(into, peek)),
            true if peek => {
                let mut buffer = ReadBuf::new(into);
                at_once(stream.poll_peek(&mut task(&self.waker), &mut buffer))
            }
            true if into.len() >= CHUNK => stream.try_read(into).map_err(|error| errno(&error)),
            true => {
                let taken = stream.try_read(chunk).map_err(|error| errno(&error));
                taken.map(|taken| {
                    let count = into.len().min(taken);
                    into[..count].copy_from_slice(&chunk[..count]);
                    self.incoming.extend(&chunk[count..taken]);
                    count
                })
            }
        };
        self.is_reset_told = received == Err(Errno(libc::ECONNRESET));
        match received {
            Err(_) if self.is_reset_told && self.is_timed_out => Err(Errno(libc::ETIMEDOUT)),
            Err(_) if self.is_reset_told && self.is_peer_finished => Ok(0),
            received => received,
        }
    }

    fn take_incoming(&mut self, into: &mut [u8], peek: bool) -> usize {
        let count = into.len().min(self.incoming.len());
        for (own, byte) in into.iter_mut().zip(&self.incoming) {
            *own = *byte;
        }
        if !peek {
            self.incoming.drain(..count);
        }
        count
    }

    /// Whether its owner has not read what was taken from turmoil-net.
    pub(super) fn has_unread(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// The two ends of its connection, its own first.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let State::Stream(stream) = &self.state else {
            return None;
        };
        Some((stream.local_addr().ok()?, stream.peer_addr().ok()?))
    }

    /// Takes `bytes`, or the first of them, to be sent.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.go_on_connecting();
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let State::Stream(stream) = &self.state else {
            return Err(match &self.state {
                State::Connecting(..) => Errno(libc::EAGAIN),
                _ => Errno(libc::EPIPE),
            });
        };
        if self.is_reset_told || self.is_write_shut {
            return Err(Errno(libc::EPIPE));
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let sent = stream.try_write(bytes).map_err(|error| errno(&error));
        self.is_reset_told = sent == Err(Errno(libc::ECONNRESET));
        match sent {
            Err(_) if self.is_reset_told && self.is_timed_out => Err(Errno(libc::ETIMEDOUT)),
            // So Linux tells of a reset that comes after the peer's end of the stream.
            Err(_) if self.is_reset_told && self.is_peer_finished => Err(Errno(libc::EPIPE)),
            sent => sent,
        }
    }

    fn unconnected(&self) -> Errno {
        match &self.state {
            State::Connecting(..) => Errno(libc::EAGAIN),
            _ => Errno(libc::ENOTCONN),
        }
    }

    pub(super) fn shut_down(&mut self, how: i32) -> Result<(), Errno> {
        let State::Stream(stream) = &mut self.state else {
            return Err(Errno(libc::ENOTCONN));
        };
        if how != libc::SHUT_WR {
            self.is_read_shut = true;
            self.waker.wake_by_ref();
        }
        if how != libc::SHUT_RD && !self.is_write_shut {
            self.is_write_shut = true;
            // A connection that was reset has nothing left to shut.
            let _ = Pin::new(stream).poll_shutdown(&mut task(&self.waker));
        }
        Ok(())
    }

    /// Where it is bound.
    pub(super) fn bound(&self) -> Result<SocketAddr, Errno> {
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let address = match &self.state {
            State::Listener(listener, _) => listener.local_addr(),
            State::Fresh(bound) => Ok(bound.unwrap_or(anywhere)),
            _ => Ok(anywhere),
        };
        address.map_err(|error| errno(&error))
    }

    pub(super) fn take_error(&mut self) -> Option<Errno> {
        self.go_on_connecting();
        self.error.take()
    }

    /// What it is ready for, in epoll's bits; its waker is woken when that changes.
    pub(super) fn readiness(&mut self) -> u32 {
        self.go_on_connecting();
        let bits = match &mut self.state {
            State::Fresh(_) => EPOLLOUT | EPOLLHUP,
            State::Connecting(..) => 0,
            State::Failed => EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP,
            State::Listener(listener, accepted) => {
                if accepted.is_empty()
                    && let Poll::Ready(Ok(found)) = listener.poll_accept(&mut task(&self.waker))
                {
                    accepted.push_back(found);
                }
                if accepted.is_empty() { 0 } else { EPOLLIN }
            }
            State::Stream(stream) => {
                let can_read = if self.is_read_shut || self.is_reset_told {
                    EPOLLIN | EPOLLRDHUP
                } else {
                    let unread = if self.incoming.is_empty() { 0 } else { EPOLLIN };
                    unread | reading(stream, &self.waker, self.is_write_shut)
                };
                can_read | writing(stream, &self.waker)
            }
        };
        bits as u32
    }
}

fn is_reset(stream: &TcpStream, waker: &Waker) -> bool {
    reading(stream, waker, false) & EPOLLERR != 0
}

fn reading(stream: &TcpStream, waker: &Waker, is_write_shut: bool) -> i32 {
    let mut byte = [0_u8; 1];
    let mut buffer = ReadBuf::new(&mut byte);
    match stream.poll_peek(&mut task(waker), &mut buffer) {
        Poll::Ready(Ok(0)) if is_write_shut => EPOLLIN | EPOLLRDHUP | EPOLLHUP,
        Poll::Ready(Ok(0)) => EPOLLIN | EPOLLRDHUP,
        Poll::Ready(Ok(_)) => EPOLLIN,
        Poll::Ready(Err(_)) => EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP,
        Poll::Pending => 0,
    }
}

/// Writing nothing tells whether something could be written.
fn writing(stream: &mut TcpStream, waker: &Waker) -> i32 {
    match Pin::new(stream).poll_write(&mut task(waker), &[]) {
        Poll::Ready(_) => EPOLLOUT,
        Poll::Pending => 0,
    }
}
