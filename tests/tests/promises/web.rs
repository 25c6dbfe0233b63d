//! What a service needs to serve HTTP on its simulated machine: axum's listener over the library's.
//!
//! It knows nothing of the systems that use it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use stormglass::Host;
use stormglass::simulation::{TcpListener, TcpStream};

struct Port(TcpListener);

impl Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves `router` on port 80 of the host, for ever.
pub(crate) async fn serve(host: &Host, router: Router) -> io::Result<()> {
    axum::serve(Port(host.listen(80).await?), router).await
}
