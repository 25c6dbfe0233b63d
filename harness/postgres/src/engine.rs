//! The engine: carries out batches on the real server, one at a time, while virtual time stands still.
//!
//! A backend that has to wait for a lock stays with its batch where it is, and the batch is answered when
//! another one has let the lock go: after every batch the engine looks who has got what they wait for, and
//! lets them go on one after the other, in the order in which they began to wait. Timeouts are alarms that
//! the engine rings when virtual time has come. So how long anything takes in real time has no influence.
//!
//! `opening` and `ending` are those of connections, `link` is one of them, `outcome` is what an answer says.

mod ending;
mod link;
mod opening;
mod outcome;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stormglass_machine::outside;

pub(crate) use self::link::{Answer, Mailbox};

use self::link::Link;
use self::outcome::Outcome;
use crate::backend::{Exchange, Step, Until};
use crate::client::now_us;
use crate::cluster::Lease;
use crate::database::Database;
use crate::session::{Request, failing};
use crate::statement::Effect;
use crate::wire;
use crate::{Batch, Commit, Error, Failure, Kind, Session, Shutdown, Statement, Undone, Witness};

/// Smaller numbers belong to others, as people expect.
const FIRST_PROCESS: u32 = 100;

/// The connections of a simulated server, and what they are about.
pub(crate) struct Engine {
    databases: BTreeMap<String, Database>,
    witness: Arc<dyn Witness>,
    connections_max: usize,
    links: BTreeMap<u32, Link>,
    /// Those whose batch waits for a lock, in the order in which they began to.
    locked: Vec<u32>,
    /// What clients take for the numbers of the real server's processes.
    processes: BTreeMap<u32, u32>,
    opened: u32,
    /// Why nobody can connect.
    closed: Option<Shutdown>,
}

impl Engine {
    pub(crate) fn new(
        databases: BTreeMap<String, Database>,
        witness: Arc<dyn Witness>,
        connections_max: usize,
    ) -> Self {
        Engine {
            databases,
            witness,
            connections_max,
            links: BTreeMap::new(),
            locked: Vec::new(),
            processes: BTreeMap::new(),
            opened: 0,
            closed: None,
        }
    }

    pub(crate) fn set_closed(&mut self, closed: Option<Shutdown>) {
        self.closed = closed;
    }

    /// Who a connection is, as long as there is one.
    pub(crate) fn session(&self, id: u32) -> Option<&Session> {
        self.links.get(&id).map(|link| &link.session)
    }

    /// What the witness wants to become of a request.
    pub(crate) fn fate(&self, id: u32, request: &Request) -> crate::Fate {
        match self.links.get(&id) {
            Some(link) if !request.statements.is_empty() => {
                let batch = Batch {
                    statements: &request.statements,
                    is_in_transaction: link.is_in_transaction(),
                };
                self.witness.fate(&link.session, batch)
            }
            _ => crate::Fate::Proceed,
        }
    }

    /// Carries out a request, or lets it fail; its answer is in the connection's mailbox now or later.
    pub(crate) fn carry_out(&mut self, id: u32, request: Request, failure: Option<Failure>) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let failure = failure.or_else(|| link.take_cancellation());
        let ends = request
            .statements
            .iter()
            .any(|own| own.kind == Kind::Commit);
        link.listens |= request
            .statements
            .iter()
            .any(|own| own.kind == Kind::Listen);
        let (bytes, until) = match (&failure, request.until) {
            (None, until) => (request.bytes, until),
            (Some(_), Until::Ready(_)) if ends && link.is_in_transaction() => {
                let rolled_back = [failing(&request), wire::query("ROLLBACK")].concat();
                (rolled_back, Until::Ready(2))
            }
            (Some(_), _) => (failing(&request), Until::Ready(1)),
        };
        if failure.is_none() {
            for own in &request.statements {
                link.origin.database.note(own);
                link.is_spoiled |= spoils(own);
            }
            link.effect = request.statements.iter().fold(link.effect, |effect, own| {
                let own = own.effect;
                effect.max(if own == Effect::ByCount {
                    Effect::None
                } else {
                    own
                })
            });
        }
        if !request.is_copied {
            link.turn.clone_from(&request.statements);
            link.transaction.extend(request.statements);
        }
        link.failure = failure;
        let may_end = ends || !link.is_in_transaction();
        if link.effect == Effect::Unknown && may_end {
            link.snapshot = snapshot(link.lease()).ok();
        }
        link.exchange = Some(Exchange::new(bytes, until));
        self.advance(id, None);
        self.settle();
    }

    /// The moment at which something is due for a backend that waits, in microseconds since 1970.
    pub(crate) fn due_at(&self, id: u32) -> Option<i64> {
        let link = self.links.get(&id)?;
        let is_idle = link.exchange.is_none();
        if is_idle && !link.is_in_transaction() {
            return None;
        }
        let waits = link.backend.waits().ok()?;
        let asleep = waits.wakes_at.filter(|_| !is_idle);
        [waits.alarm_at, asleep].into_iter().flatten().min()
    }

    /// Rings the alarm of a backend, or wakes it: something is due.
    pub(crate) fn ring(&mut self, id: u32) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let now = now_us();
        let is_idle = link.exchange.is_none();
        let rung = outside(|| {
            let waited = link.backend.waits()?.count;
            link.backend.ring(now)?;
            Ok::<_, Error>(waited)
        });
        match rung {
            Ok(waited) if is_idle => self.watch_idle(id, waited),
            Ok(waited) => self.advance(id, Some(waited)),
            Err(_) => self.finish(id, true),
        }
        self.settle();
    }

    /// Waits until an idle backend has heard its alarm, of which it may have died.
    fn watch_idle(&mut self, id: u32, waited: u32) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let mut exchange = Exchange::new(Vec::new(), Until::Ready(1));
        let step = outside(|| {
            link.backend
                .step(&mut exchange, Some(waited), |_| Ok(true), || Ok(()))
        });
        if matches!(step, Ok(Step::Gone) | Err(_)) {
            link.exchange = Some(exchange);
            self.finish(id, true);
        }
    }

    /// Lets a backend work on its batch until it is done or has to wait.
    fn advance(&mut self, id: u32, waited: Option<u32>) {
        let now = now_us();
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let Some(exchange) = &mut link.exchange else {
            return;
        };
        let (backend, lease) = (&mut link.backend, link.origin.database.lease());
        let step = outside(|| {
            // A backend that waits for its next batch goes on waiting until the processor is free for it.
            let waited = match waited {
                None if exchange.is_new() => Some(backend.waits()?.count),
                waited => waited,
            };
            backend.set_now(now)?;
            backend.set_open(true)?;
            backend.step(
                exchange,
                waited,
                |process| is_locked(lease, process),
                || flush(lease),
            )
        });
        match step {
            Ok(Step::Done) => self.finish(id, false),
            Ok(Step::Gone) | Err(_) => self.finish(id, true),
            Ok(Step::Asleep(_)) => {}
            Ok(Step::Locked) => {
                // A gate that cannot be closed is one of a server that is gone.
                let _ = link.backend.set_open(false);
                if !self.locked.contains(&id) {
                    self.locked.push(id);
                    self.witness.wait_began(&link.session);
                }
            }
        }
    }

    /// Lets those go on that have got the lock that they wait for.
    fn settle(&mut self) {
        loop {
            let links = &self.links;
            let free = self.locked.iter().position(|id| {
                links.get(id).is_none_or(|link| {
                    let locked = outside(|| is_locked(link.lease(), link.backend.process));
                    !locked.unwrap_or(false)
                })
            });
            let Some(at) = free else {
                return;
            };
            let id = self.locked.remove(at);
            if let Some(link) = self.links.get(&id) {
                self.witness.wait_ended(&link.session);
            }
            self.advance(id, None);
        }
    }

    /// A batch is answered, or its connection is gone.
    fn finish(&mut self, id: u32, is_gone: bool) {
        if let Some(at) = self.locked.iter().position(|own| *own == id) {
            self.locked.remove(at);
            if let Some(link) = self.links.get(&id) {
                self.witness.wait_ended(&link.session);
            }
        }
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let exchange = link.exchange.take();
        let answer = exchange.map(|own| own.answer).unwrap_or_default();
        let outcome = Outcome::of(&answer);
        link.is_ready = !is_gone && outcome.status.is_some();
        let failure = link.failure.take();
        for error in &outcome.errors {
            self.witness
                .failed(&link.session, failure.as_ref().unwrap_or(error));
        }
        if failure.is_none() {
            link.effect = link.effect.max(outcome.effect(&link.turn));
        }
        let has_written = self.end_transaction(id, &outcome);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        self.witness.done(&link.session);
        let mut bytes = outcome::rewritten(answer, &self.processes);
        if let Some(failure) = &failure {
            bytes = outcome::replaced(&bytes, failure, link.status);
        }
        let ends = is_gone || failure.is_some_and(|failure| failure.is_fatal);
        link.mailbox.put(Answer {
            bytes,
            is_copying: outcome.is_copying,
            ends,
        });
        if has_written {
            self.notify(id);
        }
        if ends {
            self.close(id);
        }
    }

    /// Tells the witness of a transaction that has come to its end, if one has; whether it has written.
    fn end_transaction(&mut self, id: u32, outcome: &Outcome) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        let Some(status) = outcome.status else {
            return false;
        };
        let before = std::mem::replace(&mut link.status, status);
        let was_open = before != b'I';
        let commits = outcome.tags.iter().any(|tag| outcome::is_commit(tag));
        if status != b'I' && !commits {
            return false;
        }
        let is_committed = match was_open {
            true => commits,
            false => commits || outcome.errors.is_empty(),
        };
        let statements = std::mem::take(&mut link.transaction);
        let effect = std::mem::take(&mut link.effect);
        let earlier = link.snapshot.take();
        if !is_committed {
            if was_open {
                let why = match before {
                    b'E' => Undone::ByError,
                    _ if outcome.errors.is_empty() => Undone::ByOwner,
                    _ => Undone::ByError,
                };
                self.witness.rolled_back(&link.session, why);
            }
            return false;
        }
        let has_written = match effect {
            Effect::Certain => true,
            Effect::Unknown => snapshot(link.lease()).ok() != earlier,
            Effect::None | Effect::ByCount => false,
        };
        if has_written {
            let statements = &statements;
            self.witness.committed(&link.session, Commit { statements });
        }
        has_written
    }

    /// Brings what is due to those who listen: the real server has told their backends, which say it when
    /// they are asked for anything.
    fn notify(&mut self, by: u32) {
        let now = now_us();
        let Some(database) = self.session(by).map(|session| session.database.clone()) else {
            return;
        };
        let mut lost = Vec::new();
        for (id, link) in &mut self.links {
            let is_idle = link.exchange.is_none() && link.status == b'I';
            if *id == by || !link.listens || !is_idle || link.session.database != database {
                continue;
            }
            let mut sync = Vec::new();
            wire::put(&mut sync, b'S', &[]);
            let backend = &mut link.backend;
            let answer = outside(|| {
                backend.set_now(now)?;
                backend.ask(sync, 1)
            });
            match answer {
                Ok(answer) => {
                    let told = wire::frames(&answer).filter(|frame| frame.tag == b'A');
                    let told = told.flat_map(|frame| frame.whole.iter().copied()).collect();
                    link.mailbox.tell(outcome::rewritten(told, &self.processes));
                }
                Err(_) => lost.push(*id),
            }
        }
        for id in lost {
            self.finish(id, true);
        }
    }

    /// Somebody asks for the end of a statement of another connection.
    pub(crate) fn cancel(&mut self, process: u32, key: u32) {
        let Some(link) = self.links.get_mut(&process).filter(|link| link.key == key) else {
            return;
        };
        if link.exchange.is_none() {
            link.is_cancelled = link.is_busy;
            return;
        }
        let asked = outside(|| {
            let waited = link.backend.waits()?.count;
            link.backend.set_open(true)?;
            signal(link.lease(), "pg_cancel_backend", link.backend.process)?;
            Ok::<_, Error>(waited)
        });
        match asked {
            Ok(waited) => self.advance(process, Some(waited)),
            Err(_) => self.finish(process, true),
        }
        self.settle();
    }

    /// A connection has a request that is not carried out yet, or none.
    pub(crate) fn set_busy(&mut self, id: u32, is_busy: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.is_busy = is_busy;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end_all(None);
    }
}

/// Whether a session is not as good as new when it has discarded everything: a setting that a client has
/// invented stays known.
fn spoils(statement: &Statement) -> bool {
    let text = statement.text.to_lowercase();
    text.contains("set_config") || (statement.kind == Kind::Setting && text.contains('.'))
}

/// Whether a backend waits for a lock, or for a snapshot that is safe (`SERIALIZABLE READ ONLY DEFERRABLE`).
fn is_locked(lease: &Lease, process: u32) -> Result<bool, Error> {
    // `pg_locks` would say the same, and go through all locks of the server for it.
    let sql =
        "SELECT 1 WHERE pg_blocking_pids($1) <> '{}' OR pg_safe_snapshot_blocking_pids($1) <> '{}'";
    let rows = lease.with(|real| real.control().query(sql, &[&process.to_string()]))?;
    Ok(!rows.is_empty())
}

/// Has the real server write out all of its log.
///
/// Who reads the log (logical decoding) and finds a record of which the server has written a part only waits for the rest
/// without a lock that anybody could see. The rest comes with the next commit, for which virtual time would have to pass.
fn flush(lease: &Lease) -> Result<(), Error> {
    lease
        .with(|real| real.control().query("CHECKPOINT", &[]))
        .map(drop)
}

/// A text that changes whenever a transaction that has written something comes to its end.
fn snapshot(lease: &Lease) -> Result<String, Error> {
    let sql = "SELECT txid_current_snapshot()";
    let rows = lease.with(|real| real.control().query(sql, &[]))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Asks the real server to send a signal to a backend.
fn signal(lease: &Lease, function: &str, process: u32) -> Result<(), Error> {
    let sql = format!("SELECT {function}($1)");
    lease
        .with(|real| real.control().query(&sql, &[&process.to_string()]))
        .map(drop)
}

/// How long it is from now to a moment in microseconds since 1970.
pub(crate) fn time_to(moment: i64) -> Duration {
    let left = u64::try_from(moment.saturating_sub(now_us())).unwrap_or(0);
    Duration::from_micros(left)
}
