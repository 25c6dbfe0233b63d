//! The server: what runs on a host of the machine in the place of PostgreSQL.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
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
    orders: Arc<Orders>,
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
            orders: Arc::default(),
            settings,
        }
    }

    /// Serves the clients of `listener`, until this future is dropped: then every connection comes to its
    /// end, and what was not committed is undone.
    ///
    /// On a thread of a run all randomness is that of its host.
    ///
    /// # Errors
    ///
    /// If no connection can be accepted any more, or no thread started.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        lock(&self.engine).set_closed(None);
        let _end = End::of(self)?;
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

    /// Ends every connection and refuses new ones, until [`Server::serve`] is called again: each client is
    /// told why, and what was not committed is undone. It may be called on any host, and by who drives the
    /// run; it happens when the server's host goes on.
    pub fn shut_down(&self, how: Shutdown) {
        *lock(&self.orders.order) = Some(Order::ShutDown(how));
        self.orders.news.notify_all();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").finish_non_exhaustive()
    }
}

/// What a server shall do, said by somebody who is not on its host. Hosts share no descriptors, so that a
/// task cannot be woken from elsewhere; a thread can.
#[derive(Debug, Default)]
struct Orders {
    order: Mutex<Option<Order>>,
    news: Condvar,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    ShutDown(Shutdown),
    /// The server's process has come to its end.
    Leave,
}

/// Carries out orders on the server's host, until there are no more.
fn obey(orders: &Orders, engine: &Mutex<Engine>) {
    loop {
        let mut order = lock(&orders.order);
        let next = loop {
            if let Some(next) = order.take() {
                break next;
            }
            let waited = orders.news.wait(order);
            order = waited.unwrap_or_else(PoisonError::into_inner);
        };
        drop(order);
        match next {
            Order::ShutDown(how) => {
                let mut engine = lock(engine);
                engine.set_closed(Some(how));
                engine.end_all(Some(how));
            }
            Order::Leave => return,
        }
    }
}

/// Ends every connection when the server's process comes to its end.
struct End<'a>(&'a Server, Option<JoinHandle<()>>);

impl<'a> End<'a> {
    fn of(server: &'a Server) -> io::Result<Self> {
        *lock(&server.orders.order) = None;
        let (orders, engine) = (server.orders.clone(), server.engine.clone());
        let thread = std::thread::Builder::new().name("orders".to_owned());
        let thread = thread.spawn(move || obey(&orders, &engine))?;
        Ok(End(server, Some(thread)))
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        lock(&self.0.engine).end_all(None);
        *lock(&self.0.orders.order) = Some(Order::Leave);
        self.0.orders.news.notify_all();
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}
