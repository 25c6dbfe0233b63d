//! A listener on the simulated network, as axum serves from it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use stormglass::simulation::{TcpListener, TcpStream};

/// How long to wait after a failed accept, so that a broken listener does not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A port of a simulated host.
pub(super) struct SimulatedListener(pub(super) TcpListener);

impl Listener for SimulatedListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
