//! The witness: who is told what clients do, and decides which faults they meet.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Kind, Statement};

/// A client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The client.
    pub client: SocketAddr,
    /// The database that it has asked for.
    pub database: String,
    /// The user that it claims to be.
    pub user: String,
    /// What it takes for the number of its backend's process.
    pub process: u32,
}

/// What a client asks for at once: a simple query, or everything up to a `Sync`.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The statements that are carried out, in their order.
    pub statements: &'a [Statement],
    /// Whether a transaction is open, in which the batch is carried out.
    pub is_in_transaction: bool,
}

impl Batch<'_> {
    /// Whether something takes effect with it: it ends a transaction, or writes outside of one.
    pub fn commits(&self) -> bool {
        let any = |kinds: &[Kind]| self.statements.iter().any(|own| kinds.contains(&own.kind));
        let begins = any(&[Kind::Begin]);
        let writes = any(&[Kind::Write, Kind::Schema, Kind::Notify, Kind::Other]);
        any(&[Kind::Commit]) || (writes && !self.is_in_transaction && !begins)
    }
}

/// What becomes of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It is carried out as usual.
    #[default]
    Proceed,
    /// It is carried out later.
    ProceedAfter(Duration),
    /// It has no effect, and is answered by an error. An open transaction can only be rolled back afterwards;
    /// if the batch is its `COMMIT`, it is rolled back at once.
    Fail(Failure),
    /// The connection is cut before it has an effect.
    CutBefore,
    /// It takes effect, but the connection is cut before it is answered.
    CutAfter,
    /// It takes effect, and is answered later.
    AnswerAfter(Duration),
    /// It never arrives: it has no effect and no answer, and the connection stays, with what its transaction holds.
    Lose,
}

/// An error that the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its SQLSTATE. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    pub code: String,
    /// What it says.
    pub message: String,
    /// Whether the server ends the connection with it.
    pub is_fatal: bool,
}

impl Failure {
    /// An error with this SQLSTATE, which ends the connection if PostgreSQL would.
    pub fn new(code: &str, message: &str) -> Self {
        Failure {
            code: code.to_owned(),
            message: message.to_owned(),
            is_fatal: [
                "57P01", "57P02", "57P03", "57P04", "57P05", "53300", "3D000",
            ]
            .contains(&code),
        }
    }

    /// Another transaction has come before this one (40001).
    pub fn serialization() -> Self {
        let message = "could not serialize access due to concurrent update";
        Failure::new("40001", message)
    }

    /// Two transactions wait for one another (40P01).
    pub fn deadlock() -> Self {
        Failure::new("40P01", "deadlock detected")
    }

    /// Somebody has told the server to stop (57P01).
    pub fn shutdown() -> Self {
        let message = "terminating connection due to administrator command";
        Failure::new("57P01", message)
    }

    /// The server has no room left (53100).
    pub fn disk_full() -> Self {
        let message = "could not extend file: No space left on device";
        Failure::new("53100", message)
    }

    /// Nobody else may connect (53300).
    pub fn too_many_connections() -> Self {
        Failure::new("53300", "sorry, too many clients already")
    }
}

/// A transaction that took effect and has written something.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// Its statements, in their order.
    pub statements: &'a [Statement],
}

/// Why a transaction had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undone {
    /// Its owner has rolled it back.
    ByOwner,
    /// Its connection has come to its end.
    ByEnd,
    /// It has failed.
    ByError,
}

/// Who is told what clients do, while virtual time stands still.
///
/// No method may call a [`Server`](crate::Server); an [`Observer`](crate::Observer) may be asked at any time.
pub trait Witness: Send + Sync {
    /// A client wants to connect: the error that it is refused with, if it shall be.
    fn refuses(&self, client: SocketAddr) -> Option<Failure> {
        let _ = client;
        None
    }

    /// A client has connected.
    fn opened(&self, session: &Session) {
        let _ = session;
    }

    /// A client was refused.
    fn refused(&self, client: SocketAddr, failure: &Failure) {
        let _ = (client, failure);
    }

    /// A connection has come to its end, whoever ended it; what was not committed is undone already.
    fn closed(&self, session: &Session) {
        let _ = session;
    }

    /// A batch that carries out statements has arrived: what shall become of it?
    fn fate(&self, session: &Session, batch: Batch<'_>) -> Fate {
        let _ = (session, batch);
        Fate::Proceed
    }

    /// A transaction that has written something took effect, and nobody knows it yet.
    fn committed(&self, session: &Session, commit: Commit<'_>) {
        let _ = (session, commit);
    }

    /// A batch was carried out, or has failed, and nobody knows it yet. What took effect with it was told before.
    fn done(&self, session: &Session) {
        let _ = session;
    }

    /// An open transaction has come to its end without effect.
    fn rolled_back(&self, session: &Session, why: Undone) {
        let _ = (session, why);
    }

    /// The server has answered an error, be it of its own or by a [`Fate`].
    fn failed(&self, session: &Session, failure: &Failure) {
        let _ = (session, failure);
    }

    /// A batch waits for a lock that another transaction holds.
    fn wait_began(&self, session: &Session) {
        let _ = session;
    }

    /// A batch waits for a lock no longer: it has got it, or has failed.
    fn wait_ended(&self, session: &Session) {
        let _ = session;
    }
}

/// Nobody: every batch proceeds.
impl Witness for () {}
