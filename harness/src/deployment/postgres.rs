//! The host of a PostgreSQL server: what services commit enters the history, and faults meet their batches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stormglass_machine as os;
use stormglass_postgres::{
    self as postgres, Batch, Commit, Failure, Fate, Kind, Session, Settings, Undone, Witness,
};
use tokio::net::TcpListener;

use super::server::{Server, caller};
use crate::database::{Databases, Effect};
use crate::history::What;
use crate::nemesis::Injection;
use crate::plan::{CommitFault, StatementFault};
use crate::simulation::world::{Gate, World, lock};

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
    world: Arc<World>,
    databases: Arc<Databases>,
    sessions: Mutex<BTreeMap<u32, Work>>,
}

/// What is known of a session's work.
#[derive(Default)]
struct Work {
    /// What its open transaction has changed.
    effect: Effect,
    /// What befalls the batch that is at work.
    statements: Vec<Injection<StatementFault>>,
    commit: Injection<CommitFault>,
}

impl Observed {
    fn gate(&self, session: &Session) -> Option<Gate> {
        caller(&self.world, session.client)
    }

    fn on<T>(&self, session: &Session, look: impl FnOnce(&mut Work) -> T) -> T {
        look(lock(&self.sessions).entry(session.process).or_default())
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
        let name: Arc<str> = session.database.as_str().into();
        let mut work = Work::default();
        let (mut is_cut, mut later) = (false, Duration::ZERO);
        for statement in batch.statements.iter().filter(|own| counts(own.kind)) {
            let effect = match statement.kind {
                Kind::Write => self.databases.effect(&name, &statement.text, 1),
                _ => Effect::None,
            };
            work.effect = work.effect.max(effect);
            let injection = gate.strike::<StatementFault>();
            for (fault, strike) in injection.strikes() {
                gate.bit(fault, strike.to_string());
                match strike {
                    StatementFault::Error => is_cut = true,
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
                    CommitFault::AnswerLost => is_answer_cut = true,
                }
            }
        }
        self.on(session, |own| {
            work.effect = work.effect.max(own.effect);
            *own = work;
        });
        if gate.is_dead() || is_cut {
            Fate::CutBefore
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
            self.databases.committed(&gate, &name, effect);
        }
    }

    fn done(&self, session: &Session) {
        let work = self.on(session, |own| Work {
            effect: own.effect,
            ..std::mem::take(own)
        });
        if let Some(gate) = self.gate(session) {
            gate.struck(&work.commit);
            for injection in &work.statements {
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

    fn closed(&self, session: &Session) {
        lock(&self.sessions).remove(&session.process);
    }
}
