//! A connection that can be cut: a port that passes bytes on to a server.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A port in front of a server. It closes when it is dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    connections: Rc<RefCell<Vec<AbortHandle>>>,
    accepting: AbortHandle,
}

impl Relay {
    /// A new port, which leads to `server`. Has to be called within a `LocalSet`.
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Rc::<RefCell<Vec<AbortHandle>>>::default();
        let opened = connections.clone();
        let accepting = tokio::task::spawn_local(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect(&server).await.unwrap();
                let passing = tokio::task::spawn_local(async move {
                    copy_bidirectional(&mut client, &mut server).await.ok();
                });
                opened.borrow_mut().push(passing.abort_handle());
            }
        });
        Self {
            address,
            connections,
            accepting: accepting.abort_handle(),
        }
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends all connections of now. New ones are welcome.
    pub(crate) fn cut(&self) {
        for connection in self.connections.borrow_mut().drain(..) {
            connection.abort();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}
