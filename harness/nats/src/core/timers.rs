//! What is due later: one moment for each consumer, stream and connection, and what a fate has put off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionId;
use super::consumer::ConsumerKey;
use super::router::SubscriptionId;
use super::settle::Settling;
use crate::protocol::{Publish, Shown};
use crate::witness::{Answer, Client};

/// What is due.
#[derive(Debug)]
pub(crate) enum Due {
    /// Something of a consumer.
    Consumer(ConsumerKey),
    /// Messages of a stream are too old.
    Stream(Arc<str>),
    /// A connection was silent for long.
    Ping(ConnectionId),
    /// What a fate has put off.
    Later(Later),
}

/// What a fate has put off.
#[derive(Debug)]
pub(crate) enum Later {
    /// A message comes to a stream.
    Publish {
        client: Arc<Client>,
        stream: Arc<str>,
        message: Publish,
        answer: Answer,
    },
    /// A message is settled.
    Settle {
        client: Arc<Client>,
        settling: Settling,
        answer: Answer,
    },
    /// A delivery leaves.
    Deliver {
        recipients: Vec<SubscriptionId>,
        shown: Shown,
    },
    /// An answer leaves.
    Say(Publish),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Ping(ConnectionId),
    Later(u64),
    Stream(Arc<str>),
    Consumer(ConsumerKey),
}

/// What is due later, in order.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Duration, Key)>,
    later: BTreeMap<u64, Later>,
    last: u64,
}

impl Timers {
    /// The next moment at which something is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Whether something that was put off is still to come.
    pub(crate) fn has_put_off(&self) -> bool {
        !self.later.is_empty()
    }

    /// Takes out what is due at `now`, the oldest first.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<Due> {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let due = match self.due.pop_first()?.1 {
                Key::Ping(id) => Due::Ping(id),
                Key::Stream(name) => Due::Stream(name),
                Key::Consumer(key) => Due::Consumer(key),
                Key::Later(number) => match self.later.remove(&number) {
                    Some(later) => Due::Later(later),
                    None => continue,
                },
            };
            return Some(due);
        }
        None
    }

    /// Puts something off until `at`.
    pub(crate) fn put_off(&mut self, at: Duration, later: Later) {
        self.last += 1;
        self.later.insert(self.last, later);
        self.due.insert((at, Key::Later(self.last)));
    }

    /// Notes something for `at`.
    pub(crate) fn arm(&mut self, at: Duration, due: Due) {
        if let Some(key) = key(&due) {
            self.due.insert((at, key));
        }
    }

    /// Takes back what [`Timers::arm`] noted.
    pub(crate) fn disarm(&mut self, at: Duration, due: &Due) {
        if let Some(key) = key(due) {
            self.due.remove(&(at, key));
        }
    }
}

fn key(due: &Due) -> Option<Key> {
    match due {
        Due::Consumer(key) => Some(Key::Consumer(key.clone())),
        Due::Stream(name) => Some(Key::Stream(name.clone())),
        Due::Ping(id) => Some(Key::Ping(*id)),
        Due::Later(_) => None,
    }
}
