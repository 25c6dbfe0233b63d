//! A host: what a service is handed when it starts on a simulated machine.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::http::{self, HttpError, Response};
use super::net::{TcpListener, TcpStream};
use super::world::Gate;
use crate::broker::{self, Broker};
use crate::database::{Backend, Databases, OpenError, Pool};
use crate::external::External;
use crate::plan::topology::instance_names;

/// One incarnation of a simulated host: the ports of the service that runs on it.
///
/// When the host crashes, everything made from it is dead: calls never return, and open
/// transactions are rolled back. Its next incarnation is handed a new `Host`.
#[derive(Clone)]
pub struct Host {
    gate: Gate,
    /// The service that it is an instance of.
    service: Arc<str>,
    /// How many instances of a service run; one where nothing is said.
    instances: Arc<BTreeMap<String, u32>>,
    databases: Arc<Databases>,
}

impl Host {
    pub(crate) fn new(
        gate: Gate,
        service: &Arc<str>,
        instances: &Arc<BTreeMap<String, u32>>,
        databases: Arc<Databases>,
    ) -> Self {
        Host {
            gate,
            service: service.clone(),
            instances: instances.clone(),
            databases,
        }
    }

    /// The host's name: that of its service, or `order-2` where it is the second instance of `order`.
    pub fn name(&self) -> &str {
        self.gate.host()
    }

    /// The service that the host is an instance of.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The names of the hosts that a service runs on in this run, for clients that choose among them.
    pub fn instances_of(&self, service: &str) -> Vec<String> {
        let instances = self.instances.get(service).copied().unwrap_or(1);
        instance_names(service, instances).collect()
    }

    /// How often the host has been started, this time included.
    pub fn incarnation(&self) -> u32 {
        self.gate.incarnation()
    }

    /// Resolves when the host is told to stop, as a process is by SIGTERM. Its ports stay alive; it has
    /// two seconds of virtual time to finish what it has in hand and return, and is dropped after that.
    /// A service that never calls this is dropped at once when it has to stop.
    ///
    /// Calling it is what gains the two seconds, as installing a handler for the signal is; what it
    /// returns may be awaited at any time.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.gate.stopping()
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
