//! What a database looks like when it is new, and how it is brought back to that.
//!
//! Tables are emptied and filled as the template was, sequences are set. The template itself is treated in
//! the same way once, so that new databases and old ones have their rows at the same places. Not covered is a
//! schema that could change itself (a function with `EXECUTE`): its databases are always new.

use super::{ROWS, SCHEMA, Store, UNTOUCHED};
use crate::Error;
use crate::client::{Client, Observer};
use crate::place::Place;
use crate::slot::Slots;

/// The rows of a template.
#[derive(Debug)]
pub(crate) struct Pristine {
    tables: Vec<Table>,
    /// A query for the state of each sequence: its name, its value, and whether it was used.
    sequences: Option<String>,
    values: Vec<Vec<Option<String>>>,
    is_reusable: bool,
}

#[derive(Debug)]
struct Table {
    /// Its object number, which copies of the template share.
    id: String,
    name: String,
    /// Its rows, as messages of `COPY`.
    rows: Vec<u8>,
}

/// Tables with rows of their own, and whether they have any.
const TABLES: &str = "
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY c.oid";

/// Sequences.
const SEQUENCES: &str = "
    SELECT string_agg(format('SELECT %L AS name, last_value, is_called FROM %I.%I',
        format('%I.%I', schemaname, sequencename), schemaname, sequencename), ' UNION ALL ')
    FROM pg_sequences";

/// Whether something could change the schema, or settings, behind the library's back, or is not in tables.
const SURPRISES: &str = r"
    SELECT 1 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_language l ON l.oid = p.prolang
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname <> 'c'
        AND p.prosrc ~* '\m(execute|create|alter|drop|grant|revoke|comment|analyze|vacuum|cluster|reindex|refresh|set_config)\M'
    UNION ALL SELECT 1 FROM pg_trigger WHERE tgenabled = 'A'
    UNION ALL SELECT 1 FROM pg_event_trigger
    UNION ALL SELECT 1 FROM pg_largeobject_metadata";

impl Pristine {
    /// What a template has, after its rows were put where those of restored databases are.
    pub(crate) fn of(client: &mut Client) -> Result<Self, Error> {
        let surprises = client.query(SURPRISES, &[])?;
        let mut tables = Vec::new();
        for row in client.query(TABLES, &[])? {
            let mut row = row.into_iter().flatten();
            if let (Some(id), Some(name)) = (row.next(), row.next()) {
                let rows = client.copy_out(&format!("COPY {name} TO STDOUT"))?;
                tables.push(Table { id, name, rows });
            }
        }
        let sequences = client.query(SEQUENCES, &[])?;
        let sequences: Option<String> = sequences.into_iter().flatten().flatten().next();
        let values = match &sequences {
            Some(sql) => client.query(sql, &[])?,
            None => Vec::new(),
        };
        let pristine = Pristine {
            tables,
            sequences,
            values,
            is_reusable: surprises.is_empty(),
        };
        if pristine.is_reusable {
            pristine.fill(client, pristine.tables.iter().collect())?;
            pristine.set_sequences(client, |_| true)?;
        }
        Ok(pristine)
    }

    pub(crate) fn is_reusable(&self) -> bool {
        self.is_reusable
    }

    /// Brings a database back to what it was.
    ///
    /// # Errors
    ///
    /// If that cannot be done; the database is in no state to be used then.
    pub(crate) fn restore(
        &self,
        place: &Place,
        slots: Option<&Slots>,
        name: &str,
        store: &mut Store,
    ) -> Result<(), Error> {
        let touched = std::mem::replace(&mut store.touched, UNTOUCHED);
        if touched >= SCHEMA {
            let (code, message) = (String::new(), "its schema has changed".to_owned());
            return Err(Error::Refused { code, message });
        }
        let observer = match &store.observer {
            Some(observer) => observer.clone(),
            None => store
                .observer
                .insert(Observer::open(place, slots, name)?)
                .clone(),
        };
        observer.renew(|client| {
            client.execute("ROLLBACK")?;
            if touched < ROWS {
                return Ok(());
            }
            let sql = "SELECT 1 FROM pg_largeobject_metadata";
            if !client.query(sql, &[])?.is_empty() {
                client.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")?;
            }
            let filled = self.filled(client)?;
            let seeded = |own: &&Table| filled.contains(&own.id) || !own.rows.is_empty();
            self.fill(client, self.tables.iter().filter(seeded).collect())?;
            let now = match &self.sequences {
                Some(sql) => client.query(sql, &[])?,
                None => Vec::new(),
            };
            self.set_sequences(client, |value| !now.contains(value))
        })
    }

    /// The numbers of the tables that have ever had a row since they were emptied.
    fn filled(&self, client: &mut Client) -> Result<Vec<String>, Error> {
        let ids: Vec<&str> = self.tables.iter().map(|own| &*own.id).collect();
        let sql = "SELECT id FROM unnest($1::oid[]) AS own (id) WHERE pg_relation_size(id) > 0";
        let ids = format!("{{{}}}", ids.join(","));
        let rows = client.query(sql, &[&ids])?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }

    /// Empties tables, and fills those that the template has rows in.
    fn fill(&self, client: &mut Client, tables: Vec<&Table>) -> Result<(), Error> {
        if tables.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = tables
            .iter()
            .map(|own| format!("ONLY {}", own.name))
            .collect();
        // Triggers are not to see any of it; a lock that somebody still has is a reason to give up.
        client.execute(&format!(
            "BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL lock_timeout = '1s';
             TRUNCATE {} CASCADE",
            names.join(", ")
        ))?;
        let filled = self.filled(client)?;
        for table in &self.tables {
            if !table.rows.is_empty() && !filled.contains(&table.id) {
                client.copy_in(&format!("COPY {} FROM STDIN", table.name), &table.rows)?;
            }
        }
        client.execute("COMMIT")
    }

    fn set_sequences(
        &self,
        client: &mut Client,
        is_off: impl Fn(&Vec<Option<String>>) -> bool,
    ) -> Result<(), Error> {
        for value in self.values.iter().filter(|own| is_off(own)) {
            let value: Vec<&str> = value
                .iter()
                .map(|own| own.as_deref().unwrap_or(""))
                .collect();
            client.query("SELECT setval($1::text::regclass, $2, $3)", &value)?;
        }
        Ok(())
    }
}
