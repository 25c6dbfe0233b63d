//! The server: sockets and timers around the core.

mod clock;
mod connection;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::core::{ConnectionId, Core};
use crate::moment::Moment;
use crate::readout::Readout;
use crate::settings::Settings;
use crate::witness::Witness;
use clock::Clock;

/// A server, as a computer with a disk is one: it can be served from again and again.
///
/// [`Server::serve`] is its process. When that future is dropped the process is dead: connections, core
/// subscriptions, waiting requests, what a fate has put off, and streams in memory are gone. Other streams
/// with all that they hold and the ids that they have seen, and consumers with what they have delivered, are
/// there when it is served again. Leases run on in the meantime, so what clients had in hand is delivered
/// again when these are over.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use std::sync::Arc;
/// use stormglass_nats::{NoWitness, Server};
///
/// let server = Server::new(Arc::new(NoWitness));
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:4222").await?;
/// server.serve(listener).await
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Told when something is due earlier than what the process sleeps for.
    earlier: Notify,
}

struct State {
    core: Core,
    clock: Clock,
    /// The writers of connections, which wait to be told that there is something to write.
    writers: BTreeMap<ConnectionId, Arc<Notify>>,
    /// The moment that the process sleeps for.
    sleeps_until: Option<Duration>,
}

impl Server {
    /// A server with default settings that holds nothing.
    pub fn new(witness: Arc<dyn Witness>) -> Self {
        Self::with_settings(Settings::default(), witness)
    }

    /// A server that holds nothing.
    pub fn with_settings(settings: Settings, witness: Arc<dyn Witness>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    core: Core::new(settings, witness),
                    clock: Clock::default(),
                    writers: BTreeMap::new(),
                    sleeps_until: None,
                }),
                earlier: Notify::new(),
            }),
        }
    }

    /// Serves clients that connect to `listener`, until it is dropped.
    ///
    /// # Errors
    /// The listener fails for good. A client that fails ends its own connection only.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let port = listener.local_addr()?.port();
        let _process = Process::start(self, port);
        let mut connections = JoinSet::new();
        loop {
            let wait = self.wait();
            // The order is fixed: a chance here would be one in the run.
            tokio::select! {
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.accept(&mut connections, stream, address),
                    Err(error) if is_of_client(&error) => {}
                    Err(error) => return Err(error),
                },
                () = sleep(wait) => self.with(|core, now| core.advance(now)),
                () = self.shared.earlier.notified() => {}
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    /// What the server holds.
    pub fn readout(&self) -> Readout {
        self.lock().core.readout()
    }

    /// Whether all that streams hold for durable consumers is delivered and settled, and nothing is put off.
    /// See [`Core::is_settled`].
    pub fn is_settled(&self) -> bool {
        self.lock().core.is_settled()
    }

    fn accept(&self, connections: &mut JoinSet<()>, stream: TcpStream, address: SocketAddr) {
        let writer = Arc::new(Notify::new());
        let mut state = self.lock();
        let now = state.clock.now();
        let payload_max = state.core.settings.payload_max;
        let id = state.core.connect(address, now);
        state.writers.insert(id, writer.clone());
        drop(state);
        connections.spawn(connection::run(
            self.clone(),
            id,
            stream,
            writer,
            payload_max,
        ));
    }

    /// How long the process may sleep, if something is due at all.
    fn wait(&self) -> Option<Duration> {
        let mut state = self.lock();
        let due = state.core.next_due();
        state.sleeps_until = due;
        let now = state.clock.now();
        Some(due?.saturating_sub(now.elapsed))
    }

    /// Lets the core do something, and sees to what follows from it outside.
    fn with<T>(&self, act: impl FnOnce(&mut Core, Moment) -> T) -> T {
        let mut state = self.lock();
        let now = state.clock.now();
        let result = act(&mut state.core, now);
        for id in state.core.take_woken() {
            if let Some(writer) = state.writers.get(&id) {
                writer.notify_one();
            }
        }
        let due = state.core.next_due();
        let earlier = match (due, state.sleeps_until) {
            (Some(due), Some(until)) => due < until,
            (due, None) => due.is_some(),
            (None, Some(_)) => false,
        };
        if earlier {
            self.shared.earlier.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is locked is changed in whole steps, so that a panic of a witness leaves nothing half done
        // that a client could see.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").finish_non_exhaustive()
    }
}

/// The time in which a server is served from. Its end is the end of the process, however it comes.
struct Process<'a>(&'a Server);

impl<'a> Process<'a> {
    fn start(server: &'a Server, port: u16) -> Self {
        let mut state = server.lock();
        // A process that was forgotten instead of dropped is dead all the same.
        state.core.crash();
        state.writers.clear();
        state.core.settings.port = port;
        state.clock.resume();
        let now = state.clock.now();
        state.core.start(now);
        drop(state);
        Self(server)
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.core.crash();
        state.writers.clear();
    }
}

/// Whether an error of accepting says that a client went away, and nothing of the listener.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
