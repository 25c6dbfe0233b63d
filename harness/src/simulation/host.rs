//! A host: what a service is handed when it starts on a simulated machine.

use std::io;
use std::sync::Arc;

use super::http::{self, HttpError, Response};
use super::net::{TcpListener, TcpStream};
use super::world::Gate;
use crate::broker::{self, Broker};
use crate::database::{Backend, Databases, OpenError, Pool};
use crate::external::External;

/// One incarnation of a simulated host: the ports of the service that runs on it.
///
/// When the host crashes, everything made from it is dead: calls never return, and open
/// transactions are rolled back. Its next incarnation is handed a new `Host`.
#[derive(Clone)]
pub struct Host {
    gate: Gate,
    databases: Arc<Databases>,
}

impl Host {
    pub(crate) fn new(gate: Gate, databases: Arc<Databases>) -> Self {
        Host { gate, databases }
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        self.gate.host()
    }

    /// How often the host has been started, this time included.
    pub fn incarnation(&self) -> u32 {
        self.gate.incarnation()
    }

    /// A client of the simulated broker.
    pub fn broker(&self) -> Broker {
        Broker::new(self.gate.clone(), broker::HOST)
    }

    /// Connections to one of the system's databases, with the interface of `sqlx::Pool`.
    ///
    /// # Errors
    ///
    /// If the system has no database of that name, or `DB` does not fit the run's engine.
    pub fn database<DB: Backend>(&self, name: &str) -> Result<Pool<DB>, OpenError> {
        Pool::new(self.gate.clone(), self.databases.clone(), name)
    }

    /// A third party that the service calls, with a ledger of its own.
    pub fn external(&self, provider: &str) -> External {
        External::new(self.gate.clone(), provider)
    }

    /// Listens on a port of this host.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn listen(&self, port: u16) -> io::Result<TcpListener> {
        TcpListener::bind(self.gate.clone(), port).await
    }

    /// Connects to `host:port`.
    ///
    /// # Errors
    ///
    /// If nobody listens there, or the network does not answer.
    pub async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        TcpStream::connect(self.gate.clone(), address).await
    }

    /// Sends an HTTP request to `host:port` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// If no complete answer comes within five seconds of virtual time.
    pub async fn http(&self, address: &str, request: http::Request) -> Result<Response, HttpError> {
        http::send(self.gate.clone(), address, request).await
    }
}
