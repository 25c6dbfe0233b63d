//! A link: one client's connection, with its backend on the real server.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::backend::{Backend, Exchange};
use crate::cluster::Lease;
use crate::database::Database;
use crate::statement::Effect;
use crate::{Failure, Session, Statement, lock};

/// How a backend has come to be, for another client that comes in the same way.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) database: Database,
    pub(super) parameters: Vec<(String, String)>,
    /// What the server has said of itself.
    pub(super) said: Vec<u8>,
}

/// A connection.
pub(super) struct Link {
    pub(super) session: Session,
    pub(super) origin: Origin,
    pub(super) backend: Backend,
    /// What a client has to know to cancel a statement of it.
    pub(super) key: u32,
    /// As in `ReadyForQuery`: `I` outside of a transaction, `T` within, `E` within one that has failed.
    pub(super) status: u8,
    /// The batch that is carried out, if there is one.
    pub(super) exchange: Option<Exchange>,
    /// Its statements.
    pub(super) turn: Vec<Statement>,
    /// The error that it shall be answered with.
    pub(super) failure: Option<Failure>,
    /// The statements of the transaction that is open.
    pub(super) transaction: Vec<Statement>,
    /// Whether they have written.
    pub(super) effect: Effect,
    /// The server's snapshot before a batch that may end a transaction which may have written.
    pub(super) snapshot: Option<String>,
    /// Whether it has ever asked for notifications.
    pub(super) listens: bool,
    /// Whether the backend would take any other batch next.
    pub(super) is_ready: bool,
    /// Whether no other client can have the backend.
    pub(super) is_spoiled: bool,
    /// Whether a request has arrived that is not answered.
    pub(super) is_busy: bool,
    /// Whether its request was cancelled before it was carried out.
    pub(super) is_cancelled: bool,
    pub(super) mailbox: Arc<Mailbox>,
}

impl Link {
    pub(super) fn new(session: Session, origin: Origin, backend: Backend, key: u32) -> Self {
        Link {
            session,
            origin,
            backend,
            key,
            status: b'I',
            exchange: None,
            turn: Vec::new(),
            failure: None,
            transaction: Vec::new(),
            effect: Effect::None,
            snapshot: None,
            listens: false,
            is_ready: true,
            is_spoiled: false,
            is_busy: false,
            is_cancelled: false,
            mailbox: Arc::default(),
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        self.origin.database.lease()
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.status != b'I'
    }

    /// The error of a request that was cancelled before it was carried out.
    pub(super) fn take_cancellation(&mut self) -> Option<Failure> {
        let message = "canceling statement due to user request";
        std::mem::take(&mut self.is_cancelled).then(|| Failure::new("57014", message))
    }
}

/// What a client is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// Whether the server waits for data to copy.
    pub(crate) is_copying: bool,
    /// Whether it is the last one.
    pub(crate) ends: bool,
}

/// What the engine has for the task that speaks with the client.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    answer: Mutex<Option<Answer>>,
    notifications: Mutex<Vec<u8>>,
    news: Notify,
}

impl Mailbox {
    pub(super) fn put(&self, answer: Answer) {
        *lock(&self.answer) = Some(answer);
        self.news.notify_one();
    }

    pub(super) fn tell(&self, notifications: Vec<u8>) {
        if !notifications.is_empty() {
            lock(&self.notifications).extend(notifications);
            self.news.notify_one();
        }
    }

    pub(crate) fn take_answer(&self) -> Option<Answer> {
        lock(&self.answer).take()
    }

    pub(crate) fn take_notifications(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.notifications))
    }

    /// Waits until there may be something new.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}
