//! What a server knows, and what it does with what clients say. It knows no clock, no sockets and no chance.
//!
//! Each input comes with the time at which it came. What is due by then is done first, then the input, then
//! everything that follows from it; what that says to clients is found per connection afterwards.

mod advisory;
mod connection;
mod consumer;
mod deliver;
mod lifecycle;
mod publish;
mod readout;
mod router;
mod settle;
mod stream;
mod timers;
mod waiting;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use consumer::{Consumer, ConsumerKey};
pub(crate) use stream::{Stored, Stream};
use timers::{Due, Later, Timers};
pub use wire::Output;
use wire::Wire;

use crate::api::Storage;
use crate::moment::Moment;
use crate::protocol::{Operation, WrongInput};
use crate::settings::Settings;
use crate::witness::{Client, Event, Witness};

/// The number of a connection. Numbers are not used twice.
pub type ConnectionId = u64;

/// What a server knows.
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) witness: Arc<dyn Witness>,
    /// The time of the input that is being worked on.
    pub(crate) now: Moment,
    /// Connections and core subscriptions, which end with the process.
    pub(crate) wire: Wire,
    /// Streams and their consumers, which survive it.
    pub(crate) streams: BTreeMap<Arc<str>, Stream>,
    timers: Timers,
    /// Consumers that may have something to do.
    work: VecDeque<ConsumerKey>,
    /// How many names were made up.
    names: u64,
    /// How many requests the API answered, and how many of them with an error.
    pub(crate) requests: (u64, u64),
}

impl Core {
    /// A server that knows nothing yet.
    pub fn new(settings: Settings, witness: Arc<dyn Witness>) -> Self {
        Self {
            wire: Wire::new(settings.pending_max),
            settings,
            witness,
            now: Moment::default(),
            streams: BTreeMap::new(),
            timers: Timers::default(),
            work: VecDeque::new(),
            names: 0,
            requests: (0, 0),
        }
    }

    /// A client connected from `address`. Its first line waits for it.
    pub fn connect(&mut self, address: SocketAddr, now: Moment) -> ConnectionId {
        self.begin(now);
        let id = self.wire.connect(&self.settings, address);
        self.timers
            .arm(now.elapsed + self.settings.ping_interval, Due::Ping(id));
        self.tell(Some(id), &Event::ConnectionOpened);
        self.finish();
        id
    }

    /// A client said something.
    pub fn handle(&mut self, id: ConnectionId, operation: Operation, now: Moment) {
        self.begin(now);
        if self.wire.is_open(id) {
            self.operate(id, operation);
        }
        self.finish();
    }

    /// A client said what is no protocol. Its connection ends.
    pub fn handle_wrong(&mut self, id: ConnectionId, wrong: WrongInput, now: Moment) {
        self.begin(now);
        match wrong.told() {
            Some(text) => self.wire.end(id, &text),
            None => self.wire.hang_up(id),
        }
        self.finish();
    }

    /// A connection is gone.
    pub fn disconnect(&mut self, id: ConnectionId, now: Moment) {
        self.begin(now);
        if self.wire.is_known(id) {
            self.tell(Some(id), &Event::ConnectionClosed);
            self.wire.disconnect(id);
        }
        self.finish();
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Moment) {
        self.begin(now);
        self.finish();
    }

    /// The next moment at which something is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// What is to be written to a connection now. `None` if there is no such connection any more.
    pub fn take_output(&mut self, id: ConnectionId) -> Option<Output> {
        self.wire.take_output(id)
    }

    /// The connections that something is to be written to since this was called last.
    pub fn take_woken(&mut self) -> Vec<ConnectionId> {
        self.wire.take_woken()
    }

    /// The server's process dies. Connections, core subscriptions, waiting requests, what a fate has put off
    /// and streams in memory are gone. All other streams with their consumers stay, durable or not, and what
    /// consumers had delivered: leases run on, and what is not settled in time is delivered again.
    pub fn crash(&mut self) {
        self.wire = Wire::restarted(&self.wire, self.settings.pending_max);
        self.timers = Timers::default();
        self.work.clear();
        self.streams
            .retain(|_, stream| stream.config.storage == Storage::File);
        for stream in self.streams.values_mut() {
            stream.armed = None;
        }
    }

    /// The server's process starts, again or for the first time.
    pub fn start(&mut self, now: Moment) {
        self.now = now;
        let mut keys = Vec::new();
        for stream in self.streams.values_mut() {
            for consumer in stream.consumers.values_mut() {
                consumer.restart(now.elapsed);
                keys.push(consumer.key.clone());
            }
        }
        self.work.extend(keys);
        let names: Vec<Arc<str>> = self.streams.keys().cloned().collect();
        for name in names {
            self.expire_messages(&name);
        }
        self.finish();
    }

    fn begin(&mut self, now: Moment) {
        self.now = now;
        while let Some(due) = self.timers.pop(now.elapsed) {
            match due {
                Due::Consumer(key) => {
                    self.disarm(&key);
                    self.pump(&key);
                }
                Due::Stream(name) => self.expire_messages(&name),
                Due::Later(later) => self.resume(later),
                Due::Ping(id) => self.ping(id),
            }
            self.finish();
        }
    }

    /// Does what follows from what was done.
    fn finish(&mut self) {
        loop {
            for pattern in self.wire.take_changed() {
                self.interest_changed(&pattern);
            }
            let Some(key) = self.work.pop_front() else {
                break;
            };
            self.pump(&key);
        }
    }

    /// Does something that a fate has put off.
    fn resume(&mut self, later: Later) {
        match later {
            Later::Publish {
                client,
                stream,
                message,
                answer,
            } => self.store(Some(&client), &stream, message, answer),
            Later::Settle {
                client,
                settling,
                answer,
            } => self.apply_settlement(&client, &settling, answer),
            Later::Deliver { recipients, shown } => self.wire.send(&recipients, &shown),
            Later::Say(message) => self.say(message),
        }
    }

    /// Puts something off for `span`.
    fn put_off(&mut self, span: Duration, later: Later) {
        self.timers.put_off(self.now.elapsed + span, later);
    }

    /// Notes that a consumer may have something to do.
    pub(crate) fn wake(&mut self, key: ConsumerKey) {
        if !self.work.contains(&key) {
            self.work.push_back(key);
        }
    }

    /// Tells the witness of an event on behalf of a connection.
    pub(crate) fn tell(&self, id: Option<ConnectionId>, event: &Event<'_>) {
        let client = id.and_then(|id| self.wire.client(id));
        self.witness.happened(client.as_deref(), event);
    }

    /// A name that was not used before, of eight letters and digits as the product makes them.
    pub(crate) fn new_name(&mut self) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        self.names += 1;
        // An odd factor spreads the numbers without making two of them equal.
        let mut rest = self.names.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 62_u64.pow(8);
        let mut name = String::with_capacity(8);
        for _ in 0..8 {
            name.push(DIGITS[(rest % 62) as usize].into());
            rest /= 62;
        }
        name
    }

    /// The consumer, if it is there, with its stream.
    pub(crate) fn consumer(&mut self, key: &ConsumerKey) -> Option<&mut Consumer> {
        self.streams
            .get_mut(&key.stream)?
            .consumers
            .get_mut(&*key.consumer)
    }

    /// Whom a client that holds a lease is.
    pub(crate) fn holder(&mut self, key: &ConsumerKey, sequence: u64) -> Option<Arc<Client>> {
        self.consumer(key)?
            .ledger
            .leases()
            .get(&sequence)?
            .holder
            .clone()
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Core")
            .field("now", &self.now)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}
