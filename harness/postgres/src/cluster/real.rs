//! A real server, as the library rules it: its templates, its databases, its roles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stormglass_machine::outside;

use crate::client::Client;
use crate::database::{Pristine, Store};
use crate::place::Place;
use crate::slot::Slots;
use crate::{Error, private};

/// The variable that names a server to use instead of a private one.
const VARIABLE: &str = "STORMGLASS_POSTGRES";

/// A real server, and the connection by which the library rules it.
#[derive(Debug)]
pub(crate) struct Real {
    pub(crate) place: Place,
    /// `None` if the library has not started it.
    pub(crate) slots: Option<Slots>,
    /// The process that starts all others, of a server that the library has started.
    postmaster: Option<u32>,
    control: Client,
    version: u32,
    /// Templates that have been made, and what databases look like that were made from them.
    templates: BTreeMap<String, Arc<Pristine>>,
    /// Databases that look as if they were new, with their templates.
    kept: BTreeMap<String, (String, Store)>,
    /// Roles that stay: a template may need them.
    roles: BTreeSet<String>,
    /// Roles that were made because a client has claimed to be them.
    claimed: BTreeSet<String>,
}

/// What the name of each template begins with.
pub(super) const TEMPLATE: &str = "stormglass_template_";

impl Real {
    pub(super) fn open() -> Result<Self, Error> {
        let (place, slots, postmaster, home) = match std::env::var(VARIABLE) {
            Ok(named) => {
                let (place, home) = Place::named(&named)?;
                (place, None, None, home)
            }
            Err(_) => {
                let own = private::start()?;
                let home = "postgres".to_owned();
                (own.place, Some(own.slots), Some(own.postmaster), home)
            }
        };
        let mut control = Client::open(&place, &home)?;
        let version = control.query("SELECT current_setting('server_version_num')", &[])?;
        let version: String = version.into_iter().flatten().flatten().collect();
        let version = version.parse().unwrap_or(0);
        Ok(Real {
            place,
            slots,
            postmaster,
            control,
            version,
            templates: BTreeMap::new(),
            kept: BTreeMap::new(),
            roles: BTreeSet::new(),
            claimed: BTreeSet::new(),
        })
    }

    /// Has the server come to where the run is that has it from now on: what starts backends, and the connections by which
    /// the library itself asks.
    pub(super) fn come(&self) {
        if let Some(postmaster) = self.postmaster {
            stormglass_machine::bring(postmaster);
            self.control.come();
            let stores = self.kept.values();
            for observer in stores.filter_map(|(_, store)| store.observer.as_ref()) {
                observer.come();
            }
        }
    }

    pub(crate) fn is_private(&self) -> bool {
        self.slots.is_some()
    }

    pub(crate) fn control(&mut self) -> &mut Client {
        &mut self.control
    }

    pub(super) fn template(
        &mut self,
        key: &str,
        prepare: impl FnOnce(&mut Template) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let own = match self.is_private() {
            true => String::new(),
            false => format!("{}_", std::process::id()),
        };
        let name = format!("{TEMPLATE}{own}{key}");
        if self.templates.contains_key(&name) {
            return Ok(name);
        }
        self.create(&name, None)?;
        let mut template = Template {
            place: self.place.clone(),
            name: name.clone(),
            client: Client::open(&self.place, &name)?,
        };
        let prepared = prepare(&mut template);
        let prepared = prepared.and_then(|()| Pristine::of(&mut template.client));
        drop(template);
        let pristine = match prepared {
            Ok(pristine) => pristine,
            Err(error) => {
                self.drop_database(&name)?;
                return Err(error);
            }
        };
        self.templates.insert(name.clone(), Arc::new(pristine));
        let roles = self.list_roles()?.into_iter();
        self.roles = roles.filter(|own| !self.claimed.contains(own)).collect();
        Ok(name)
    }

    fn create(&mut self, name: &str, template: Option<&str>) -> Result<(), Error> {
        let mut sql = format!("CREATE DATABASE {}", quoted(name));
        if let Some(template) = template {
            sql.push_str(&format!(" TEMPLATE {}", quoted(template)));
        }
        // Copying files takes half as long as writing each page to the log (15 ms instead of 38 ms).
        if self.version >= 150_000 {
            sql.push_str(" STRATEGY file_copy");
        }
        self.control.execute(&sql)
    }

    /// A database that looks as its template, and what is left of its last use.
    pub(super) fn take_database(&mut self, name: &str, template: &str) -> Result<Store, Error> {
        match self.kept.remove(name) {
            Some((own, store)) if own == template => return Ok(store),
            Some((_, store)) => {
                store.close();
                self.drop_database(name)?;
            }
            None => {}
        }
        self.create(name, Some(template))?;
        Ok(Store::default())
    }

    /// Takes a database back: it is kept if it can be brought back to what it was, and removed otherwise.
    pub(crate) fn give_back(
        &mut self,
        name: &str,
        template: &str,
        mut store: Store,
    ) -> Result<(), Error> {
        self.forget_prepared(name)?;
        self.forget_slots(name)?;
        let pristine = self.templates.get(template).cloned();
        if let Some(pristine) = pristine.filter(|own| self.is_private() && own.is_reusable())
            && pristine
                .restore(&self.place, self.slots.as_ref(), name, &mut store)
                .is_ok()
        {
            let kept = (template.to_owned(), store);
            self.kept.insert(name.to_owned(), kept);
            return Ok(());
        }
        store.close();
        // What has changed the schema may have changed a role as well.
        self.claimed.clear();
        for (name, (_, store)) in std::mem::take(&mut self.kept) {
            store.close();
            self.drop_database(&name)?;
        }
        self.drop_database(name)
    }

    /// Undoes transactions that were prepared and that nobody has come back for.
    fn forget_prepared(&mut self, name: &str) -> Result<(), Error> {
        let sql = "SELECT gid FROM pg_prepared_xacts WHERE database = $1";
        let prepared = self.control.query(sql, &[name])?;
        if prepared.is_empty() {
            return Ok(());
        }
        let mut client = Client::open(&self.place, name)?;
        for own in prepared.into_iter().flatten().flatten() {
            let own = own.replace('\'', "''");
            client.execute(&format!("ROLLBACK PREPARED '{own}'"))?;
        }
        Ok(())
    }

    /// Drops replication slots, which keep a database from being dropped, and the server's log from being forgotten.
    fn forget_slots(&mut self, name: &str) -> Result<(), Error> {
        let sql = "SELECT slot_name FROM pg_replication_slots WHERE database = $1";
        let slots = self.control.query(sql, &[name])?;
        if slots.is_empty() {
            return Ok(());
        }
        let mut client = Client::open(&self.place, name)?;
        for own in slots.into_iter().flatten().flatten() {
            client.execute(&format!("SELECT pg_drop_replication_slot('{own}')"))?;
        }
        Ok(())
    }

    fn drop_database(&mut self, name: &str) -> Result<(), Error> {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
        self.control.execute(&sql)
    }

    /// Sees to it that there is the role `name`, which may do everything.
    pub(crate) fn ensure_role(&mut self, name: &str) -> Result<(), Error> {
        if self.claimed.contains(name) {
            return Ok(());
        }
        let known = self
            .control
            .query("SELECT 1 FROM pg_roles WHERE rolname = $1", &[name])?;
        if !known.is_empty() {
            return Ok(());
        }
        let sql = format!("CREATE ROLE {} LOGIN SUPERUSER", quoted(name));
        self.control.execute(&sql)?;
        self.claimed.insert(name.to_owned());
        Ok(())
    }

    fn list_roles(&mut self) -> Result<BTreeSet<String>, Error> {
        let sql = "SELECT rolname FROM pg_roles WHERE oid >= 16384";
        let roles = self.control.query(sql, &[])?;
        Ok(roles.into_iter().flatten().flatten().collect())
    }

    /// Leaves nothing of a run.
    pub(super) fn tidy(&mut self) -> Result<(), Error> {
        for role in self.list_roles()? {
            if !self.roles.contains(&role) && !self.claimed.contains(&role) {
                let sql = format!("DROP ROLE {}", quoted(&role));
                self.control.execute(&sql)?;
            }
        }
        Ok(())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // On a server that others use as well nothing may stay behind.
        if !self.is_private() {
            for template in std::mem::take(&mut self.templates).into_keys() {
                let _ = outside(|| self.drop_database(&template));
            }
        }
    }
}

/// A database that is to become a template.
#[derive(Debug)]
pub struct Template {
    place: Place,
    name: String,
    client: Client,
}

impl Template {
    /// Carries out a script of SQL statements.
    ///
    /// # Errors
    ///
    /// If the server refuses one of them.
    pub fn execute(&mut self, script: &str) -> Result<(), Error> {
        self.client.execute(script)
    }

    /// Where it is, for clients that work outside of a simulation (as sqlx' migrations in
    /// [`stormglass_machine::outside`]). Every connection has to be closed again.
    pub fn url(&self) -> String {
        self.place.url(&self.name)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
