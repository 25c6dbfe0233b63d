//! Databases: what a run has on a real server, and what is left of it for the next one.
//!
//! A new database takes 20 ms of processor time, and each connection to it 7 ms. So a database whose schema
//! no run has changed is brought back to what it was (`pristine`), and connections to it are kept as well
//! (`parked`).

mod parked;
mod pristine;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) use self::parked::Parked;
pub(crate) use self::pristine::Pristine;

use crate::client::Observer;
use crate::cluster::Lease;
use crate::statement::{Effect, Statement};
use crate::{Error, Kind, lock};

/// A database of a run. When it is dropped nothing of what the run has done is left.
#[derive(Clone, Debug)]
pub struct Database(Arc<Own>);

#[derive(Debug)]
pub(crate) struct Own {
    lease: Arc<Lease>,
    name: String,
    real_name: String,
    template: String,
    touched: AtomicU8,
    store: Mutex<Store>,
}

/// Connections to a database that outlive a run.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) observer: Option<Observer>,
    pub(crate) parked: Parked,
    touched: u8,
}

impl Store {
    /// Closes them, also the observer's, of which others may have clones.
    pub(crate) fn close(self) {
        if let Some(observer) = &self.observer {
            observer.close();
        }
    }
}

/// No run has written anything.
const UNTOUCHED: u8 = 0;
/// Rows have changed, or may have.
const ROWS: u8 = 1;
/// The schema has changed, or may have.
const SCHEMA: u8 = 2;

impl Own {
    pub(crate) fn new(
        lease: Arc<Lease>,
        name: &str,
        real_name: String,
        template: String,
        store: Store,
    ) -> Self {
        Own {
            lease,
            name: name.to_owned(),
            real_name,
            template,
            touched: AtomicU8::new(UNTOUCHED),
            store: Mutex::new(store),
        }
    }
}

impl Database {
    pub(crate) fn new(own: Own) -> Self {
        Database(Arc::new(own))
    }

    /// The name by which clients ask for it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where the real database is, for clients that work outside of a simulation.
    pub fn url(&self) -> String {
        // What such a client does nobody knows.
        self.touch(SCHEMA);
        let place = self.0.lease.with(|real| Ok(real.place.clone()));
        place.map_or_else(|_| String::new(), |place| place.url(&self.0.real_name))
    }

    /// A look at it, for probes. There is one for each database.
    ///
    /// # Errors
    ///
    /// If the real server cannot be reached.
    pub fn observer(&self) -> Result<Observer, Error> {
        if let Some(observer) = &lock(&self.0.store).observer {
            return Ok(observer.clone());
        }
        let name = &self.0.real_name;
        let opened = self
            .0
            .lease
            .with(|real| Observer::open(&real.place, real.slots.as_ref(), name))?;
        let observer = &mut lock(&self.0.store).observer;
        Ok(observer.get_or_insert(opened).clone())
    }

    /// A statement is about to be carried out.
    pub(crate) fn note(&self, statement: &Statement) {
        self.touch(touched_by(statement));
    }

    fn touch(&self, touched: u8) {
        self.0.touched.fetch_max(touched, Ordering::SeqCst);
    }

    /// Does something with the connections that are kept.
    pub(crate) fn with_parked<T>(&self, work: impl FnOnce(&mut Parked) -> T) -> T {
        work(&mut lock(&self.0.store).parked)
    }

    pub(crate) fn real_name(&self) -> &str {
        &self.0.real_name
    }

    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.0.lease
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut store = std::mem::take(&mut *lock(&self.store));
        store.touched = self.touched.load(Ordering::SeqCst);
        if let Some(observer) = &store.observer {
            store.touched = store.touched.max(observer.touched());
        }
        // What cannot be removed now goes with the server.
        let _ = self
            .lease
            .with(|real| real.give_back(&self.real_name, &self.template, store));
        self.lease.free(&self.real_name);
    }
}

/// What is left of a statement.
pub(crate) fn touched_by(statement: &Statement) -> u8 {
    /// Words in a block of code or behind a function's name without which it changes no schema. What
    /// functions of the database have in them is looked at when its template is made.
    const SUSPICIOUS: &[&str] = &[
        "create", "alter", "drop", "grant", "revoke", "comment", "analyze", "vacuum", "cluster",
        "reindex", "refresh", "execute", "security", "import",
    ];
    match (statement.kind, statement.effect) {
        (Kind::Schema, _) => SCHEMA,
        (Kind::Other, _) => {
            let text = statement.text.to_lowercase();
            match SUSPICIOUS.iter().any(|word| text.contains(word)) {
                true => SCHEMA,
                false => ROWS,
            }
        }
        (_, Effect::None) => UNTOUCHED,
        _ => ROWS,
    }
}
