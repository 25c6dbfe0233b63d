//! The host of a PostgreSQL server: what services commit enters the history, and faults meet their batches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stormglass_machine as os;
use stormglass_postgres::{
    self as postgres, Batch, Commit, Failure, Fate, Kind, Session, Settings, Statement, Undone,
    Witness,
};
use tokio::net::TcpListener;

use super::databases::Databases;
use super::server::{Server, caller};
use crate::database::Effect;
use crate::history::What;
use crate::plan::{CommitFault, StatementFault};
use crate::world::Injection;
use crate::world::{Gate, World, lock};

/// Where PostgreSQL listens.
const PORT: u16 = 5432;

/// The host of a PostgreSQL server.
pub(super) struct PostgresHost {
    name: Arc<str>,
    server: postgres::Server,
}

impl PostgresHost {
    pub(super) fn new(
        name: &Arc<str>,
        own: &[postgres::Database],
        latency: Duration,
        world: &Arc<World>,
        databases: &Arc<Databases>,
    ) -> Self {
        let observed = Observed {
            server: name.clone(),
            world: world.clone(),
            databases: databases.clone(),
            sessions: Mutex::default(),
        };
        let settings = Settings {
            latency: latency / 2,
            jitter: latency / 2,
            ..Settings::default()
        };
        let server = postgres::Server::new(own.to_vec(), settings, Arc::new(observed));
        PostgresHost {
            name: name.clone(),
            server,
        }
    }
}

impl Server for PostgresHost {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn start(&self, machines: &os::Machine<'_>, gate: Gate) {
        let server = self.server.clone();
        machines.start_service(&self.name, &[], || async move {
            let served = match TcpListener::bind(("0.0.0.0", PORT)).await {
                Ok(listener) => server.serve(listener).await,
                Err(error) => Err(error),
            };
            gate.ended(served.err().map(|error| error.to_string()));
        });
    }
}

struct Observed {
    /// The server's host.
    server: Arc<str>,
    world: Arc<World>,
    databases: Arc<Databases>,
    sessions: Mutex<BTreeMap<u32, Work>>,
}

/// What is known of a session's work.
#[derive(Default)]
struct Work {
    /// The incarnation that has connected: of a machine that is lost the connections stay, and what becomes of them is no
    /// affair of the one that it has next.
    gate: Option<Gate>,
    /// What its open transaction has changed.
    effect: Effect,
    /// What befalls the batch that is at work.
    statements: Vec<Injection<StatementFault>>,
    commit: Injection<CommitFault>,
}

impl Observed {
    fn gate(&self, session: &Session) -> Option<Gate> {
        self.on(session, |own| own.gate.clone())
    }

    /// The fault because of which a batch has no room for what it writes. Whether a statement changes a row after all
    /// nobody knows before it is carried out.
    fn full_disk(&self, session: &Session, batch: Batch<'_>, effect: Effect) -> Option<usize> {
        let fault = self.world.conditions.full_disk_of(&session.database)?;
        let mut statements = batch.statements.iter();
        let writes = statements.any(|own| matches!(own.kind, Kind::Write | Kind::Schema));
        let ends_one_that_has = batch.commits() && effect != Effect::None;
        (writes || ends_one_that_has).then_some(fault)
    }

    fn on<T>(&self, session: &Session, look: impl FnOnce(&mut Work) -> T) -> T {
        look(lock(&self.sessions).entry(session.process).or_default())
    }
}

/// The error of a commit that another transaction has come before.
fn not_serializable() -> Failure {
    let message = "could not serialize access due to read/write dependencies among transactions";
    Failure::new("40001", message)
}

/// Whether a statement locks rows or tables that others lock as well.
fn may_deadlock(statement: &Statement) -> bool {
    match statement.kind {
        Kind::Write | Kind::Schema => true,
        Kind::Read => {
            let text = statement.text.to_lowercase();
            let locks = [
                "for update",
                "for no key update",
                "for share",
                "for key share",
            ];
            locks.iter().any(|own| text.contains(own))
        }
        _ => false,
    }
}

/// What becomes of a batch whose client is dead: the server hears of a killed process, and not of a machine that is gone.
fn of_the_dead(gate: &Gate) -> Fate {
    match gate.is_lost() {
        true => Fate::Lose,
        false => Fate::CutBefore,
    }
}

fn counts(kind: Kind) -> bool {
    // A commit has faults of its own, and settings are the driver's.
    !matches!(kind, Kind::Commit | Kind::Rollback | Kind::Setting)
}

impl Witness for Observed {
    fn fate(&self, session: &Session, batch: Batch<'_>) -> Fate {
        let Some(gate) = self.gate(session) else {
            return Fate::Proceed;
        };
        if gate.is_dead() {
            return of_the_dead(&gate);
        }
        let name: Arc<str> = session.database.as_str().into();
        let mut work = Work::default();
        let (mut is_cut, mut later, mut failure) = (false, Duration::ZERO, None);
        for statement in batch.statements.iter().filter(|own| counts(own.kind)) {
            let effect = match statement.kind {
                Kind::Write => self.databases.effect(&name, &statement.text, 1),
                _ => Effect::None,
            };
            work.effect = work.effect.max(effect);
            let injection = gate.strike::<StatementFault>();
            for (fault, strike) in injection.strikes() {
                if *strike == StatementFault::Deadlock && !may_deadlock(statement) {
                    continue;
                }
                gate.bit(fault, strike.to_string());
                match strike {
                    StatementFault::Error => is_cut = true,
                    StatementFault::Deadlock => failure = Some(Failure::deadlock()),
                    StatementFault::Locked { for_ms: ms }
                    | StatementFault::Slow { delay_ms: ms } => later += Duration::from_millis(*ms),
                }
            }
            work.statements.push(injection);
        }
        let mut is_answer_cut = false;
        if batch.commits() && !gate.is_dead() {
            work.commit = gate.strike::<CommitFault>();
            if let Some((fault, strike)) = work.commit.strikes().next() {
                gate.bit(fault, strike.to_string());
                match strike {
                    CommitFault::Lost => is_cut = true,
                    CommitFault::SerializationFailure => failure = Some(not_serializable()),
                    CommitFault::AnswerLost => is_answer_cut = true,
                }
            }
        }
        let effect = self.on(session, |own| {
            work.effect = work.effect.max(own.effect);
            work.gate = own.gate.take();
            *own = work;
            own.effect
        });
        if !gate.is_dead()
            && !is_cut
            && failure.is_none()
            && let Some(fault) = self.full_disk(session, batch, effect)
        {
            gate.bit(fault, "found the disk full".to_owned());
            failure = Some(Failure::disk_full());
        }
        if gate.is_dead() {
            of_the_dead(&gate)
        } else if is_cut {
            Fate::CutBefore
        } else if let Some(failure) = failure {
            Fate::Fail(failure)
        } else if is_answer_cut {
            Fate::CutAfter
        } else if later.is_zero() {
            Fate::Proceed
        } else {
            Fate::ProceedAfter(later)
        }
    }

    fn committed(&self, session: &Session, _: Commit<'_>) {
        let effect = self.on(session, |own| std::mem::take(&mut own.effect));
        if let Some(gate) = self.gate(session) {
            let name = session.database.as_str().into();
            // What wrote without saying so, as a function does, is somebody's work.
            let effect = match effect {
                Effect::None => Effect::Change,
                known => known,
            };
            self.databases
                .committed(&self.world.recorder, gate.host(), &name, effect);
        }
    }

    fn done(&self, session: &Session) {
        // What the transaction has changed stays until it ends.
        let (statements, commit) = self.on(session, |own| {
            let commit = std::mem::take(&mut own.commit);
            (std::mem::take(&mut own.statements), commit)
        });
        if let Some(gate) = self.gate(session) {
            gate.struck(&commit);
            for injection in &statements {
                gate.struck(injection);
            }
        }
    }

    fn rolled_back(&self, session: &Session, why: Undone) {
        let effect = self.on(session, |own| std::mem::take(&mut own.effect));
        if let Some(gate) = self.gate(session)
            && effect != Effect::None
        {
            gate.record(What::RolledBack {
                database: session.database.as_str().into(),
                why: match why {
                    Undone::ByOwner => "by its owner",
                    Undone::ByEnd => "with its connection",
                    _ => "because it failed",
                }
                .to_owned(),
            });
        }
    }

    fn failed(&self, session: &Session, failure: &Failure) {
        if let Some(gate) = self.gate(session) {
            gate.record(What::StatementFailed {
                database: session.database.as_str().into(),
                error: format!("{} ({})", failure.message, failure.code),
            });
        }
    }

    fn refuses(&self, client: SocketAddr) -> Option<Failure> {
        let fault = self.world.conditions.used_up_at(&self.server)?;
        let gate = caller(&self.world, client)?;
        gate.bit(fault, format!("{} takes no more connections", self.server));
        Some(Failure::too_many_connections())
    }

    fn opened(&self, session: &Session) {
        let gate = caller(&self.world, session.client);
        self.on(session, |own| own.gate = gate);
    }

    fn closed(&self, session: &Session) {
        lock(&self.sessions).remove(&session.process);
    }
}
