//! Connections and what waits to be written to them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::ConnectionId;
use super::router::{Router, SubscriptionId};
use crate::protocol::{ConnectOptions, Shown, info, put_error, put_message};
use crate::settings::Settings;
use crate::witness::Client;

/// What is to be written to a connection.
#[derive(Debug, Default)]
pub struct Output {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether the connection ends after them.
    pub ends: bool,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who it is.
    pub(crate) client: Arc<Client>,
    /// What it said of itself.
    pub(crate) options: ConnectOptions,
    /// Whether it showed what is asked for.
    pub(crate) admitted: bool,
    /// How many questions whether it is still there are open.
    pub(crate) unanswered: u32,
    out: BytesMut,
    woken: bool,
    ends: bool,
}

/// Connections and core subscriptions.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Core subscriptions. What is changed in it is to be noted in `changed`.
    pub(crate) router: Router,
    connections: BTreeMap<ConnectionId, Connection>,
    last: ConnectionId,
    woken: Vec<ConnectionId>,
    /// Patterns of subscriptions that came or went.
    changed: Vec<String>,
    pending_max: usize,
}

impl Wire {
    /// No connections, each of which may have `pending_max` bytes waiting.
    pub(crate) fn new(pending_max: usize) -> Self {
        Self {
            router: Router::default(),
            connections: BTreeMap::new(),
            last: 0,
            woken: Vec::new(),
            changed: Vec::new(),
            pending_max,
        }
    }

    /// No connections, with numbers that `before` did not use.
    pub(crate) fn restarted(before: &Self, pending_max: usize) -> Self {
        Self {
            last: before.last,
            ..Self::new(pending_max)
        }
    }

    /// Adds a connection, with its first line.
    pub(crate) fn connect(&mut self, settings: &Settings, address: SocketAddr) -> ConnectionId {
        self.last += 1;
        let client = Client {
            address,
            name: String::new(),
        };
        self.connections.insert(
            self.last,
            Connection {
                client: Arc::new(client),
                options: ConnectOptions::default(),
                admitted: settings.credentials.is_none(),
                unanswered: 0,
                out: BytesMut::new(),
                woken: false,
                ends: false,
            },
        );
        let line = info(settings, self.last, address);
        self.put(self.last, |out| out.put_slice(&line));
        self.last
    }

    /// Takes a connection away, with its subscriptions.
    pub(crate) fn disconnect(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        let ended = self.router.disconnect(id);
        self.changed.extend(ended);
    }

    /// Whether there is such a connection.
    pub(crate) fn is_known(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Whether a connection is there and not about to end.
    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.connections
            .get(&id)
            .is_some_and(|connection| !connection.ends)
    }

    /// The connection.
    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Who a connection is.
    pub(crate) fn client(&self, id: ConnectionId) -> Option<Arc<Client>> {
        Some(self.connections.get(&id)?.client.clone())
    }

    /// Who would get a message by a subscription.
    pub(crate) fn client_of(&self, id: SubscriptionId) -> Option<Arc<Client>> {
        self.client(self.router.get(id)?.connection)
    }

    /// Appends to what is to be written to a connection.
    pub(crate) fn put(&mut self, id: ConnectionId, write: impl FnOnce(&mut BytesMut)) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.ends {
            return;
        }
        write(&mut connection.out);
        if connection.out.len() > self.pending_max {
            connection.out.clear();
            put_error(&mut connection.out, "Slow Consumer");
            connection.ends = true;
        }
        if !connection.woken {
            connection.woken = true;
            self.woken.push(id);
        }
    }

    /// Ends a connection with an error.
    pub(crate) fn end(&mut self, id: ConnectionId, error: &str) {
        self.put(id, |out| put_error(out, error));
        self.hang_up(id);
    }

    /// Ends a connection when it has got what waits for it.
    pub(crate) fn hang_up(&mut self, id: ConnectionId) {
        self.put(id, |_| {});
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.ends = true;
        }
    }

    /// Sends a message by each of these subscriptions that is still there.
    pub(crate) fn send(&mut self, recipients: &[SubscriptionId], shown: &Shown) {
        for id in recipients {
            let Some(subscription) = self.router.get(*id) else {
                continue;
            };
            let connection = subscription.connection;
            let headers = self
                .connections
                .get(&connection)
                .is_some_and(|connection| connection.options.headers);
            // The name of the subscription is lent by the router, which `put` does not touch.
            let sid = subscription.sid.clone();
            self.put(connection, |out| put_message(out, &sid, shown, headers));
            self.changed.extend(self.router.count(*id));
        }
    }

    /// Notes that subscriptions with this pattern came or went.
    pub(crate) fn note_change(&mut self, pattern: String) {
        self.changed.push(pattern);
    }

    /// The patterns of subscriptions that came or went since this was called last.
    pub(crate) fn take_changed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changed)
    }

    /// The connections that something is to be written to since this was called last.
    pub(crate) fn take_woken(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.woken)
    }

    /// What is to be written to a connection.
    pub(crate) fn take_output(&mut self, id: ConnectionId) -> Option<Output> {
        let connection = self.connections.get_mut(&id)?;
        connection.woken = false;
        Some(Output {
            bytes: connection.out.split().freeze(),
            ends: connection.ends,
        })
    }
}
