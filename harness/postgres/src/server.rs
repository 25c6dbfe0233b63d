//! The server: what runs on a host of the machine in the place of PostgreSQL.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::connection::{self, Draws};
use crate::engine::Engine;
use crate::{Database, Failure, Witness, lock};

/// How a simulated server behaves, beside what PostgreSQL does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The least that a batch takes, in virtual time.
    pub latency: Duration,
    /// How much longer it may take.
    pub jitter: Duration,
    /// How long a notification is on its way from the commit to the connection that listens.
    pub notification_latency: Duration,
    /// How many clients may be connected at once (`max_connections`).
    pub connections_max: usize,
}

impl Default for Settings {
    /// Half a millisecond to one, notifications after a fifth of one, 100 connections as PostgreSQL.
    fn default() -> Self {
        Settings {
            latency: Duration::from_micros(500),
            jitter: Duration::from_micros(500),
            notification_latency: Duration::from_micros(200),
            connections_max: 100,
        }
    }
}

/// How a server ends its clients' connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Somebody has told it to stop ("fast shutdown").
    Fast,
    /// One of its processes has crashed, so that it starts again.
    Crash,
}

impl Shutdown {
    pub(crate) fn failure(self) -> Failure {
        match self {
            Shutdown::Fast => Failure::shutdown(),
            Shutdown::Crash => {
                let message = "terminating connection because of crash of another server process";
                Failure::new("57P02", message)
            }
        }
    }

    /// What clients are told that come afterwards.
    pub(crate) fn refusal(self) -> Failure {
        match self {
            Shutdown::Fast => Failure::new("57P03", "the database system is shutting down"),
            Shutdown::Crash => Failure::new("57P03", "the database system is in recovery mode"),
        }
    }
}

/// A simulated PostgreSQL server with its databases. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    engine: Arc<Mutex<Engine>>,
    settings: Settings,
}

impl Server {
    /// A server with these databases, which clients ask for by their names.
    pub fn new(
        databases: impl IntoIterator<Item = Database>,
        settings: Settings,
        witness: Arc<dyn Witness>,
    ) -> Self {
        let databases = databases.into_iter();
        let databases: BTreeMap<_, _> = databases.map(|own| (own.name().to_owned(), own)).collect();
        let engine = Engine::new(databases, witness, settings.connections_max);
        Server {
            engine: Arc::new(Mutex::new(engine)),
            settings,
        }
    }

    /// Serves the clients of `listener`, until this future is dropped: then every connection comes to its end, and what
    /// was not committed is undone.
    ///
    /// On a thread of a run all randomness is that of its host.
    ///
    /// # Errors
    ///
    /// If no connection can be accepted any more.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let _end = EndOfConnections(&self.engine);
        lock(&self.engine).set_closed(None);
        let mut draws = Draws::new(RandomState::new().hash_one(0));
        let mut clients = JoinSet::new();
        loop {
            while clients.try_join_next().is_some() {}
            let (stream, client) = listener.accept().await?;
            let own = Draws::new(draws.next());
            let (engine, settings) = (self.engine.clone(), self.settings.clone());
            clients.spawn(connection::serve(engine, settings, own, stream, client));
        }
    }

    /// Ends every connection and refuses new ones, until [`Server::serve`] is called again: each client is told why, and
    /// what was not committed is undone.
    ///
    /// To be called where the server runs, or while nothing of it does.
    pub fn shut_down(&self, how: Shutdown) {
        let mut engine = lock(&self.engine);
        engine.set_closed(Some(how));
        engine.end_all(Some(how));
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Ends every connection when the server's process does.
struct EndOfConnections<'a>(&'a Mutex<Engine>);

impl Drop for EndOfConnections<'_> {
    fn drop(&mut self) {
        lock(self.0).end_all(None);
    }
}
