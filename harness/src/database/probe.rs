//! Probes: queries that show what a commit changed, run by the harness on a connection of its own.
//!
//! A probe is what the system's test supplies instead of instrumentation: state beats claims. It
//! runs after every commit that wrote something, in commit order, and what it had not seen before
//! enters the history.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{
    Any, AnyConnection, Column as _, Executor as _, Row as _, SqlSafeStr as _, Statement as _,
    TypeInfo as _, ValueRef as _,
};

use super::driver::complete;
use crate::history::{Announcement, Application, Fact};
use crate::system::nearest;

/// A query on one database whose new rows are facts of the run.
///
/// The query's columns are found by name. Text columns that a query leaves out count as empty; one that
/// looks like a misspelling of theirs is refused.
///
/// If the query contains `$1`, it has to select a column `position` (an integer that grows with
/// every row) and gets the greatest position seen so far; otherwise the whole result is compared
/// with what was seen before, which is simpler and slower.
///
/// Facts enter the history in the order of the rows, and checkers take the order of announcements for
/// the order of commits. Where one commit can leave several rows, the query therefore needs an
/// `ORDER BY` that gives the order in which they were written, such as by `position`: without one,
/// a database may return two events of one entity in either order, and `entity-order` would accuse a
/// consumer that kept the true one.
#[derive(Clone, Debug)]
pub struct Probe {
    query: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Announced,
    Applied(Option<String>),
    Discarded(Option<String>),
}

impl Probe {
    /// Rows are state changes that an event has to announce: `event_id`, and, where the system has
    /// them, `entity`, `topic`, `event_type`, `correlation_id`, `cause_id`.
    pub fn announced(query: impl Into<String>) -> Self {
        Probe {
            query: query.into(),
            kind: Kind::Announced,
        }
    }

    /// Rows are effects of events: `event_id` (of the event that was applied), and, where the
    /// system has them, `entity`, `consumer`, `effect`, `correlation_id`.
    ///
    /// The entity is what the event changes, such as an account; with the id of a row that is new for
    /// every effect, a second effect of one event could not be told from one on another entity.
    pub fn applied(query: impl Into<String>) -> Self {
        Probe {
            query: query.into(),
            kind: Kind::Applied(None),
        }
    }

    /// Rows are audit entries of events that a consumer decided not to apply; columns as for
    /// [`Probe::applied`].
    pub fn discarded(query: impl Into<String>) -> Self {
        Probe {
            query: query.into(),
            kind: Kind::Discarded(None),
        }
    }

    /// The consumer group whose effects it shows, if it says so.
    pub(crate) fn shows(&self) -> Option<&str> {
        match &self.kind {
            Kind::Applied(own) | Kind::Discarded(own) => own.as_deref(),
            Kind::Announced => None,
        }
    }

    /// Whether it shows state that events announce.
    pub(crate) fn announces(&self) -> bool {
        matches!(self.kind, Kind::Announced)
    }

    /// The query.
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    /// Finds out before the run what would otherwise show at the first row.
    pub(crate) fn verify(&self, connection: &mut AnyConnection) -> sqlx::Result<()> {
        let sql = sqlx::AssertSqlSafe(self.query.clone()).into_sql_str();
        let prepared = complete(connection.prepare(sql))?;
        let has = |wanted: &str| prepared.columns().iter().any(|own| own.name() == wanted);
        let needed = match self.query.contains("$1") {
            true => &["event_id", "position"][..],
            false => &["event_id"],
        };
        if let Some(column) = needed.iter().find(|column| !has(column)) {
            return Err(sqlx::Error::ColumnNotFound((*column).to_owned()));
        }
        let missing: Vec<&str> = self.columns().filter(|column| !has(column)).collect();
        let strange = prepared.columns().iter().map(|own| own.name());
        let mut strange = strange.filter(|own| self.columns().all(|column| column != *own));
        let misspelt = strange.find_map(|own| Some((own, nearest(own, missing.iter().copied())?)));
        match misspelt {
            Some((own, meant)) => Err(sqlx::Error::ColumnNotFound(format!(
                "{meant}, which `{own}` is most likely meant to be"
            ))),
            None => Ok(()),
        }
    }

    /// The columns that a probe of this kind reads, if the query has them.
    fn columns(&self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match &self.kind {
            Kind::Announced => &["topic", "event_type", "cause_id"],
            Kind::Applied(_) | Kind::Discarded(_) => &["consumer", "effect"],
        };
        let all = &["event_id", "position", "entity", "correlation_id"];
        all.iter().chain(own).copied()
    }

    /// Every row belongs to this consumer group, whatever the column `consumer` says.
    #[must_use]
    pub fn by(mut self, consumer: &str) -> Self {
        match &mut self.kind {
            Kind::Applied(own) | Kind::Discarded(own) => *own = Some(consumer.to_owned()),
            Kind::Announced => {}
        }
        self
    }
}

/// A probe and what it has seen.
pub(crate) struct Watch {
    probe: Probe,
    incremental: bool,
    greatest: i64,
    seen: BTreeMap<String, usize>,
}

/// How far back an incremental probe looks again. A sequence hands out numbers before the commit,
/// so on PostgreSQL a row can appear behind a greater one.
const OVERLAP: i64 = 64;

impl Watch {
    pub(crate) fn new(probe: Probe) -> Self {
        let incremental = probe.query.contains("$1");
        Watch {
            probe,
            incremental,
            greatest: 0,
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn query(&self) -> &str {
        self.probe.query()
    }

    /// What is new since the last look.
    pub(crate) fn look(&mut self, connection: &mut AnyConnection) -> sqlx::Result<Vec<Fact>> {
        let sql = sqlx::AssertSqlSafe(self.probe.query.as_str().to_owned());
        let overlap = if connection.backend_name() == "PostgreSQL" {
            OVERLAP
        } else {
            0
        };
        let mut query = sqlx::query::<Any>(sql);
        if self.incremental {
            query = query.bind(self.greatest.saturating_sub(overlap));
        }
        let rows = complete(query.fetch_all(connection))?;
        let mut counts = BTreeMap::new();
        let mut facts = Vec::new();
        for row in &rows {
            let identity = self.identity(row, &mut counts)?;
            if self.incremental && overlap == 0 || self.seen.insert(identity, 1).is_none() {
                facts.push(self.fact(row)?);
            }
        }
        Ok(facts)
    }

    /// Tells one row from another; equal rows are told apart by their number.
    fn identity(
        &mut self,
        row: &AnyRow,
        counts: &mut BTreeMap<String, usize>,
    ) -> sqlx::Result<String> {
        if self.incremental {
            let position: i64 = row.try_get("position")?;
            self.greatest = self.greatest.max(position);
            return Ok(position.to_string());
        }
        let content = format!("{:?}", json(row));
        let number = counts.entry(content.clone()).or_default();
        *number += 1;
        Ok(format!("{content} {number}"))
    }

    fn fact(&self, row: &AnyRow) -> sqlx::Result<Fact> {
        let event_id: String = row.try_get("event_id")?;
        let application = |own: &Option<String>| Application {
            consumer: own.clone().unwrap_or_else(|| text(row, "consumer")),
            event_id: event_id.clone(),
            entity: text(row, "entity"),
            effect: text(row, "effect"),
            correlation_id: text(row, "correlation_id"),
        };
        Ok(match &self.probe.kind {
            Kind::Applied(own) => Fact::Applied(application(own)),
            Kind::Discarded(own) => Fact::Discarded(application(own)),
            Kind::Announced => Fact::Announced(Announcement {
                entity: text(row, "entity"),
                topic: text(row, "topic"),
                event_type: text(row, "event_type"),
                correlation_id: text(row, "correlation_id"),
                cause_id: text(row, "cause_id"),
                event_id,
            }),
        })
    }
}

fn text(row: &AnyRow, column: &str) -> String {
    row.try_get::<Option<String>, _>(column)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// A query of the final state, run when the run is over.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) name: String,
    pub(crate) query: String,
}

/// The rows of a view, by column.
pub(crate) fn rows(
    view: &View,
    connection: &mut AnyConnection,
) -> sqlx::Result<Vec<BTreeMap<String, Value>>> {
    let sql = sqlx::AssertSqlSafe(view.query.clone());
    let rows = complete(sqlx::query::<Any>(sql).fetch_all(connection))?;
    Ok(rows.iter().map(json).collect())
}

fn json(row: &AnyRow) -> BTreeMap<String, Value> {
    row.columns()
        .iter()
        .map(|column| (column.name().to_owned(), cell(row, column.ordinal())))
        .collect()
}

fn cell(row: &AnyRow, index: usize) -> Value {
    let Ok(value) = row.try_get_raw(index) else {
        return Value::Null;
    };
    if value.is_null() {
        return Value::Null;
    }
    let kind = value.type_info().name().to_owned();
    if let Ok(number) = row.try_get::<i64, _>(index) {
        return number.into();
    }
    if let Ok(number) = row.try_get::<f64, _>(index) {
        return number.into();
    }
    if let Ok(flag) = row.try_get::<bool, _>(index) {
        return flag.into();
    }
    match row.try_get::<String, _>(index) {
        Ok(text) => text.into(),
        Err(_) => Value::String(format!("({kind})")),
    }
}
