//! The databases of one run, as the harness sees them: what each commit changed enters the history.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::database::{
    Database, Effect, Observer, ReadError, Store, View, Watch, has_changed, rows, writes_only,
};
use crate::history::What;
use crate::run::RunError;
use crate::world::{Recorder, lock};

fn unreadable(database: &str, query: &str, source: ReadError) -> RunError {
    RunError::Probe {
        database: database.to_owned(),
        query: query.to_owned(),
        source,
    }
}

/// The databases of one run, as the harness sees them.
pub(super) struct Databases {
    store: Store,
    observed: Mutex<BTreeMap<Arc<str>, Observed>>,
}

/// What the harness knows of one database, and how it looks into it.
struct Observed {
    observer: Observer,
    watches: Vec<Watch>,
    views: Vec<View>,
    background: Vec<String>,
    owed: Vec<View>,
}

impl Databases {
    /// Opens the harness' own connections.
    pub(super) fn open(store: Store, databases: &[Database]) -> Result<Self, RunError> {
        let mut all = BTreeMap::new();
        for database in databases {
            let opened = store.observer(&database.name);
            let mut observer = opened.map_err(|source| RunError::Storage {
                database: database.name.to_string(),
                source,
            })?;
            for probe in &database.probes {
                let verified = probe.verify(&mut observer);
                verified.map_err(|source| unreadable(&database.name, probe.query(), source))?;
            }
            for table in &database.background {
                let query = format!("SELECT 1 FROM {table}");
                let prepared = observer.columns(&query);
                prepared.map_err(|source| unreadable(&database.name, &query, source))?;
            }
            for View { query, .. } in &database.owed {
                let prepared = observer.columns(query);
                prepared.map_err(|source| unreadable(&database.name, query, source))?;
            }
            let observed = Observed {
                observer,
                watches: database.probes.iter().cloned().map(Watch::new).collect(),
                views: database.views.clone(),
                background: database.background.clone(),
                owed: database.owed.clone(),
            };
            all.insert(database.name.clone(), observed);
        }
        Ok(Databases {
            store,
            observed: Mutex::new(all),
        })
    }

    /// The addresses by which services reach the databases.
    pub(super) fn urls_of_services(&self) -> BTreeMap<Arc<str>, String> {
        self.store.urls_of_services()
    }

    /// The databases of each PostgreSQL server, by its host.
    pub(super) fn servers(&self) -> &BTreeMap<Arc<str>, Vec<stormglass_postgres::Database>> {
        self.store.servers()
    }

    /// The folder of the run's files.
    pub(super) fn folder(&self) -> PathBuf {
        self.store.folder()
    }

    /// What a statement that touched this many rows has changed.
    pub(super) fn effect(&self, name: &Arc<str>, sql: &str, rows: u64) -> Effect {
        if !has_changed(sql, rows) {
            return Effect::None;
        }
        let observed = lock(&self.observed);
        let background = observed.get(name).map_or(&[][..], |own| &own.background);
        match writes_only(sql, background) {
            true => Effect::Background,
            false => Effect::Change,
        }
    }

    /// A transaction that wrote something was committed, whatever became of its owner meanwhile: the probes look. A probe
    /// that cannot be read is no business of the service's; it ends the run.
    pub(super) fn committed(
        &self,
        recorder: &Recorder,
        host: &Arc<str>,
        name: &Arc<str>,
        effect: Effect,
    ) {
        if effect != Effect::None {
            let is_background = effect == Effect::Background;
            recorder.changed(host, name, is_background);
        }
        let database = name.clone();
        let committed = recorder.append(host, What::Committed { database });
        let Some(commit) = committed else { return };
        let mut observed = lock(&self.observed);
        let Some(own) = observed.get_mut(name).filter(|own| !own.watches.is_empty()) else {
            return;
        };
        let looked = own.observer.at_once(|observer| {
            let mut facts = Vec::new();
            for watch in &mut own.watches {
                let seen = watch.look(observer);
                facts.extend(seen.map_err(|source| unreadable(name, watch.query(), source))?);
            }
            Ok(facts)
        });
        let looked = looked.map_err(|source| unreadable(name, "BEGIN", source));
        match looked.flatten() {
            Ok(facts) => {
                for fact in facts {
                    let database = name.clone();
                    let observed = What::Observed {
                        database,
                        commit,
                        fact,
                    };
                    recorder.record(host, observed);
                }
            }
            Err(error) => recorder.fail(error),
        }
    }

    /// Work that is noted in some database and not done, for a person; `None` if there is none. A query that cannot be read
    /// ends the run.
    pub(super) fn owed(&self, recorder: &Recorder) -> Option<String> {
        let mut observed = lock(&self.observed);
        observed.iter_mut().find_map(|(database, own)| {
            own.owed.iter().find_map(|owed| {
                let View { name, query } = owed;
                let rows = match rows(owed, &mut own.observer) {
                    Ok(rows) => rows,
                    Err(source) => {
                        recorder.fail(unreadable(database, query, source));
                        return None;
                    }
                };
                let first = rows.first().map(|row| json!(row))?;
                Some(format!(
                    "{} {name} in `{database}`, the first is {first}",
                    rows.len()
                ))
            })
        })
    }

    /// Reads every view into the history, when the run is over.
    pub(super) fn read_views(&self, recorder: &Recorder, host: &Arc<str>) -> Result<(), RunError> {
        for (database, own) in lock(&self.observed).iter_mut() {
            for view in &own.views {
                let rows = rows(view, &mut own.observer);
                let rows = rows.map_err(|source| unreadable(database, &view.query, source))?;
                let view = view.name.clone();
                recorder.record(
                    host,
                    What::FinalState {
                        database: database.clone(),
                        view,
                        rows,
                    },
                );
            }
        }
        Ok(())
    }
}
