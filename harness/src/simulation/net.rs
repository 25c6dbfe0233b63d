//! Sockets on the simulated network.
//!
//! The network is turmoil's: reliable within a connection until a segment is dropped, after which
//! the connection is silent for good. Clients need timeouts and have to reconnect.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::world::Gate;

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
        let stream = TcpStream {
            inner,
            gate: self.gate.clone(),
            peer: peer.into(),
        };
        Ok((stream, address))
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
    inner: turmoil::net::TcpStream,
    gate: Gate,
    peer: Arc<str>,
}

impl TcpStream {
    /// Connects to `host:port`.
    pub(crate) async fn connect(gate: Gate, address: &str) -> io::Result<Self> {
        gate.open().await;
        let peer: Arc<str> = address
            .rsplit_once(':')
            .map_or(address, |(host, _)| host)
            .into();
        gate.world().sent(gate.host(), &peer);
        let inner = turmoil::net::TcpStream::connect(address).await?;
        Ok(TcpStream { inner, gate, peer })
    }

    /// The name of the host at the other end.
    pub(crate) fn peer(&self) -> &Arc<str> {
        &self.peer
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.gate.world().sent(self.gate.host(), &self.peer);
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
