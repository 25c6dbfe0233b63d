//! SQLite under a run: what services commit to their files enters the history, and faults meet their statements.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stormglass_sqlite::{
    Call, CommitFault as LostCommit, Failure, Fate, Kind, RolledBack, Statement,
    StatementFault as Trouble, Watch, Witness, watch,
};

use super::databases::Databases;
use crate::database::Effect;
use crate::history::What;
use crate::plan::{CommitFault, StatementFault};
use crate::world::Injection;
use crate::world::{Gate, World, lock};

/// Watches the files of a run until the guard is dropped.
pub(super) fn observe(
    world: &Arc<World>,
    databases: &Arc<Databases>,
    latency: Duration,
) -> std::io::Result<Watch> {
    let observed = Observed {
        world: world.clone(),
        databases: databases.clone(),
        latency,
        connections: Mutex::default(),
    };
    watch(&databases.folder(), Arc::new(observed))
}

struct Observed {
    world: Arc<World>,
    databases: Arc<Databases>,
    /// How long a statement and a commit take, each.
    latency: Duration,
    connections: Mutex<BTreeMap<u64, Connection>>,
}

/// What is known of one connection.
#[derive(Default)]
struct Connection {
    /// What its open transaction has changed.
    effect: Effect,
    /// What befalls the statement, and the commit, that is at work.
    statement: Injection<StatementFault>,
    commit: Injection<CommitFault>,
}

impl Observed {
    fn gate(&self, call: &Call<'_>) -> Option<Gate> {
        self.world.gate_of(call.host)
    }

    fn on<T>(&self, call: &Call<'_>, look: impl FnOnce(&mut Connection) -> T) -> T {
        look(lock(&self.connections).entry(call.connection).or_default())
    }
}

/// The file of a database, relative to the run's folder.
pub(super) fn file_of(database: &str) -> PathBuf {
    PathBuf::from(format!("{database}.db"))
}

/// What the system calls a database: its file's name without the extension.
fn name_of(file: &Path) -> Arc<str> {
    let name = file.file_stem().unwrap_or_default();
    name.to_string_lossy().into()
}

impl Witness for Observed {
    fn statement(&self, call: &Call<'_>, statement: Statement) -> Fate<Trouble> {
        let Some(gate) = self.gate(call) else {
            return Fate::default();
        };
        match statement.kind {
            Kind::Begin | Kind::Savepoint | Kind::Write | Kind::Read => {}
            // A commit has faults of its own.
            Kind::Commit | Kind::RollBack | Kind::Pragma => return Fate::default(),
        }
        if statement.kind == Kind::Write {
            let effect = self.databases.effect(&name_of(call.file), call.sql, 1);
            self.on(call, |own| own.effect = own.effect.max(effect));
        }
        let injection = gate.strike::<StatementFault>();
        if gate.is_dead() {
            return Trouble::Io.into();
        }
        let mut fate = Fate::after(self.latency);
        for (fault, strike) in injection.strikes() {
            match strike {
                // It belongs to a server.
                StatementFault::Deadlock => continue,
                StatementFault::Error => fate.fault = Some(Trouble::Io),
                StatementFault::Locked { for_ms } => {
                    fate.fault = Some(Trouble::Locked(Duration::from_millis(*for_ms)));
                }
                StatementFault::Slow { delay_ms } => fate.after += Duration::from_millis(*delay_ms),
            }
            gate.bit(fault, strike.to_string());
        }
        self.on(call, |own| own.statement = injection);
        fate
    }

    fn done(&self, call: &Call<'_>) {
        let injection = self.on(call, |own| std::mem::take(&mut own.statement));
        if !injection.is_nothing()
            && let Some(gate) = self.gate(call)
        {
            gate.struck(&injection);
        }
    }

    fn committing(&self, call: &Call<'_>) -> Fate<LostCommit> {
        let Some(gate) = self.gate(call) else {
            return Fate::default();
        };
        let injection = gate.strike::<CommitFault>();
        if gate.is_dead() {
            return LostCommit::Lost.into();
        }
        let mut fate = Fate::after(self.latency);
        for (fault, strike) in injection.strikes() {
            let lost = match strike {
                CommitFault::Lost => LostCommit::Lost,
                CommitFault::AnswerLost => LostCommit::AnswerLost,
                // It belongs to a server.
                CommitFault::SerializationFailure => continue,
            };
            // A commit is struck only once.
            if fate.fault.is_none() {
                gate.bit(fault, strike.to_string());
                fate.fault = Some(lost);
            }
        }
        self.on(call, |own| own.commit = injection);
        fate
    }

    fn committed(&self, call: &Call<'_>) {
        let own = self.on(call, std::mem::take);
        if let Some(gate) = self.gate(call) {
            let name = name_of(call.file);
            self.databases
                .committed(&self.world.recorder, gate.host(), &name, own.effect);
            gate.struck(&own.commit);
            gate.struck(&own.statement);
        }
    }

    fn rolled_back(&self, call: &Call<'_>, why: RolledBack) {
        self.on(call, |own| own.effect = Effect::None);
        if let Some(gate) = self.gate(call) {
            gate.record(What::RolledBack {
                database: name_of(call.file),
                why: match why {
                    RolledBack::Asked => "by its owner",
                    RolledBack::Failed => "because a statement failed",
                    RolledBack::Closed => "with its connection",
                }
                .to_owned(),
            });
        }
    }

    fn ran_full(&self, call: &Call<'_>) {
        if let Some(gate) = self.gate(call)
            && let Some(fault) = self.world.conditions.full_disk_of(&name_of(call.file))
        {
            gate.bit(fault, "found the disk full".to_owned());
        }
    }

    fn failed(&self, call: &Call<'_>, failure: &Failure<'_>) {
        if let Some(gate) = self.gate(call) {
            gate.record(What::StatementFailed {
                database: name_of(call.file),
                error: failure.message.to_owned(),
            });
        }
    }
}
