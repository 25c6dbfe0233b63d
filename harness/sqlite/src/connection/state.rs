//! What a connection remembers: its locks, its statements and its transaction.

use std::sync::Arc;
use std::time::Instant;

use libsqlite3_sys as sqlite;

use super::Code;
use crate::time::now;
use crate::witness::{CommitFault, Fate, Kind, StatementFault};

/// A lock of a database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lock {
    /// Of the file, at this of SQLite's levels.
    File(i32),
    /// The right to write to the log.
    Log,
}

impl Lock {
    /// Whether who has it may write.
    pub(super) fn is_to_write(self) -> bool {
        self >= Lock::File(sqlite::SQLITE_LOCK_RESERVED)
    }
}

/// What a connection remembers.
#[derive(Default)]
pub(super) struct State {
    /// The lock that it has of the database file, in SQLite's numbers.
    pub(super) level: i32,
    /// The statements that have begun and not ended, in this order.
    pub(super) statements: Vec<Running>,
    /// The transaction that may write, until what has become of it is told.
    pub(super) transaction: Option<Transaction>,
    /// Whether a statement that may write has begun since the last transaction.
    pub(super) has_touched: bool,
    /// What the next access meets.
    pub(super) armed: Option<StatementFault>,
    /// The error that an access of the statement at work has met.
    pub(super) met: Option<Code>,
    /// For which lock it waits, and since when.
    pub(super) waiting: Option<(Lock, Instant)>,
    /// The text of the statement that ended last: one that is reset before its end commits only then.
    pub(super) last_sql: Option<Arc<str>>,
}

/// A statement at work.
pub(super) struct Running {
    /// SQLite's address of it, to tell it from others.
    pub(super) id: usize,
    pub(super) sql: Arc<str>,
    pub(super) kind: Kind,
    pub(super) in_transaction: bool,
    /// Whether it was prepared for another schema, and is prepared and run again.
    pub(super) is_expected_again: bool,
}

/// Somebody's right to write.
#[derive(Default)]
pub(super) struct Transaction {
    /// Whether it is more than one statement.
    pub(super) is_explicit: bool,
    /// Whether something of it was written to the database file, or to its log.
    pub(super) has_written: bool,
    /// Whether it is rolled back from its journal.
    pub(super) plays_back: bool,
    /// What the witness wants to become of its commit, once it was asked.
    pub(super) fate: Option<Fate<CommitFault>>,
    pub(super) stage: Stage,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Open,
    /// It has taken effect, and its lock is about to be given back.
    Committed,
    /// It has given back its lock and has not taken effect, as far as is known yet.
    Ended,
}

/// A transaction that is over, and what the connection knew of it.
pub(super) struct Over {
    pub(super) transaction: Transaction,
    pub(super) has_touched: bool,
    pub(super) kind: Option<Kind>,
}

impl State {
    /// The text of the statement that is at work.
    pub(super) fn sql(&self) -> Option<Arc<str>> {
        self.statements.last().map(|own| own.sql.clone())
    }

    /// What the statement that is at work is for.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.statements.last().map(|own| own.kind)
    }

    /// A statement begins.
    pub(super) fn starts(&mut self, statement: Running) {
        let is_over = |own: &Running| own.id == statement.id || own.is_expected_again;
        self.statements.retain(|own| !is_over(own));
        self.has_touched |= statement.kind == Kind::Write;
        self.met = None;
        self.statements.push(statement);
    }

    /// Makes a statement the one that is at work; whether there is such a one.
    pub(super) fn brings_forward(&mut self, id: usize) -> bool {
        let found = self.statements.iter().position(|own| own.id == id);
        if let Some(found) = found {
            let statement = self.statements.remove(found);
            self.statements.push(statement);
        }
        found.is_some()
    }

    /// A statement is prepared and run again.
    pub(super) fn expects_again(&mut self, id: usize) {
        for own in self.statements.iter_mut().filter(|own| own.id == id) {
            own.is_expected_again = true;
        }
    }

    /// The statement at work does no more; whether it has met a lock that it did not get.
    pub(super) fn stops(&mut self) -> bool {
        self.armed = None;
        if self.kind() == Some(Kind::RollBack)
            && let Some(transaction) = &mut self.transaction
        {
            // In exclusive locking mode no lock tells it.
            transaction.end();
        }
        self.waiting.take().is_some()
    }

    /// A statement has ended.
    pub(super) fn forgets(&mut self, id: usize) {
        self.last_sql = self.sql();
        self.statements.retain(|own| own.id != id);
        if self.transaction.is_none() {
            self.has_touched = false;
        }
    }

    /// Whether it has the right to write.
    pub(super) fn may_write(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|own| own.stage == Stage::Open)
    }

    /// The transaction that may write. In exclusive locking mode it is not seen to take its locks.
    pub(super) fn transaction(&mut self) -> &mut Transaction {
        if self.transaction.is_none() {
            self.begin_transaction();
        }
        self.transaction.get_or_insert_default()
    }

    /// The right to write was got, for the statement that is at work.
    pub(super) fn begin_transaction(&mut self) {
        if self.may_write() {
            return;
        }
        let statement = self.statements.last();
        let is_explicit =
            statement.is_some_and(|own| own.in_transaction || own.kind == Kind::Begin);
        self.transaction = Some(Transaction {
            is_explicit,
            ..Transaction::default()
        });
    }

    /// The right to write was given back: the transaction, if it has taken effect and nobody was told.
    pub(super) fn end_transaction(&mut self) -> Option<Transaction> {
        let transaction = self.transaction.as_mut()?;
        if transaction.stage == Stage::Committed {
            return self.take_transaction().map(|over| over.transaction);
        }
        transaction.end();
        None
    }

    /// The transaction, which is over.
    pub(super) fn take_transaction(&mut self) -> Option<Over> {
        let transaction = self.transaction.take()?;
        Some(Over {
            transaction,
            has_touched: std::mem::take(&mut self.has_touched),
            kind: self.kind(),
        })
    }

    /// An access meets what was armed.
    pub(super) fn meet(&mut self, code: Code) -> Code {
        self.armed = None;
        self.met = Some(code);
        code
    }

    /// Somebody else has a lock.
    pub(super) fn wait_for(&mut self, wanted: Lock) {
        if self.waiting.is_none() {
            self.waiting = Some((wanted, now()));
        }
    }
}

impl Transaction {
    /// It is over, and has not taken effect unless it has already.
    pub(super) fn end(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Ended;
        }
    }
}
