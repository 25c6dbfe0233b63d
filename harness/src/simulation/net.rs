//! Sockets on the simulated network.
//!
//! The network is turmoil's: reliable within a connection until a segment is dropped, after which
//! the connection is silent for good. Clients need timeouts and have to reconnect.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::IoCall;
use super::world::{Gate, lock};

/// A TCP listener of a simulated host.
pub struct TcpListener {
    inner: turmoil::net::TcpListener,
    gate: Gate,
}

impl TcpListener {
    pub(crate) async fn bind(gate: Gate, port: u16) -> io::Result<Self> {
        let inner = turmoil::net::TcpListener::bind(("0.0.0.0", port)).await?;
        Ok(TcpListener { inner, gate })
    }

    /// The next connection, and where it comes from.
    ///
    /// # Errors
    ///
    /// If the host's network is gone.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (inner, address) = self.inner.accept().await?;
        let peer = turmoil::reverse_lookup(address.ip()).unwrap_or_default();
        Ok((
            TcpStream::new(inner, self.gate.clone(), peer.into()),
            address,
        ))
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// If the host's network is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A TCP connection of a simulated host.
pub struct TcpStream {
    /// Taken only when the stream is dropped.
    inner: Option<turmoil::net::TcpStream>,
    gate: Gate,
    peer: Arc<str>,
    number: u64,
}

impl TcpStream {
    fn new(inner: turmoil::net::TcpStream, gate: Gate, peer: Arc<str>) -> Self {
        let number = gate.world().graveyard().number();
        TcpStream {
            inner: Some(inner),
            gate,
            peer,
            number,
        }
    }

    /// Connects to `host:port`.
    pub(crate) async fn connect(gate: Gate, address: &str) -> io::Result<Self> {
        gate.open().await;
        let peer = peer(&gate, address)?;
        gate.world().sent(gate.host(), &peer);
        let inner = turmoil::net::TcpStream::connect(address).await?;
        Ok(TcpStream::new(inner, gate, peer))
    }

    fn inner(&mut self) -> Pin<&mut turmoil::net::TcpStream> {
        Pin::new(
            self.inner
                .as_mut()
                .expect("a stream is taken only when it is dropped"),
        )
    }
}

/// The host that an address is about, by name or by the number that the network gave it.
fn peer(gate: &Gate, address: &str) -> io::Result<Arc<str>> {
    let (host, _) = address.rsplit_once(':').unwrap_or((address, ""));
    let peer: Option<Arc<str>> = match host.parse::<IpAddr>() {
        Ok(own) if own.is_loopback() => Some(gate.host().clone()),
        Ok(other) => turmoil::reverse_lookup(other).map(Into::into),
        Err(_) => gate.world().has_host(host).then(|| host.into()),
    };
    peer.ok_or_else(|| {
        let outside = "is no host of the system, and nothing outside of it can be reached";
        io::Error::new(io::ErrorKind::NotFound, format!("{host} {outside}"))
    })
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take()
            && self.gate.is_dead()
        {
            self.gate
                .world()
                .graveyard()
                .bury(self.gate.host(), self.number, inner);
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let world = self.gate.world().clone();
        world.sent(self.gate.host(), &self.peer);
        let written = self.inner().poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = written {
            let to = self.peer.clone();
            world.called(self.gate.host(), || IoCall::Write { to, bytes: length });
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}

/// The connections of crashed hosts, until those hosts start again.
///
/// A runtime drops its tasks in an order that depends on how many tasks the whole process has ever
/// started. If each dropped connection said goodbye to its peer at once, that order would decide
/// over message latencies. So a dead host's connections stay silent, as those of a machine without
/// power do, and are closed in the order in which they were opened when the host comes back.
#[derive(Default)]
pub(crate) struct Graveyard {
    opened: AtomicU64,
    buried: Mutex<BTreeMap<(Arc<str>, u64), turmoil::net::TcpStream>>,
}

impl Graveyard {
    fn number(&self) -> u64 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }

    fn bury(&self, host: &Arc<str>, number: u64, stream: turmoil::net::TcpStream) {
        lock(&self.buried).insert((host.clone(), number), stream);
    }

    /// Closes what a host's last incarnation left open. Has to run on that host.
    pub(crate) fn close_all_of(&self, host: &Arc<str>) {
        let (own, others) = std::mem::take(&mut *lock(&self.buried))
            .into_iter()
            .partition(|((owner, _), _)| owner == host);
        *lock(&self.buried) = others;
        let own: BTreeMap<(Arc<str>, u64), turmoil::net::TcpStream> = own;
        own.into_values().for_each(drop);
    }
}
