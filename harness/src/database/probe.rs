//! Probes: queries that show what a commit changed, run by the harness on a connection of its own.
//!
//! A probe is what the system's test supplies instead of instrumentation: state beats claims. It
//! runs after every commit that wrote something, in commit order, and what it had not seen before
//! enters the history.

use std::collections::BTreeMap;

use serde_json::Value;

use super::observer::{Observer, ReadError};
use super::row::{self, Row};
use crate::history::{Announcement, Application, Fact, Withholding};
use crate::spelling::nearest;

/// A query on one database whose new rows are facts of the run.
///
/// The query's columns are found by name. Text columns that a query leaves out count as empty; one that
/// looks like a misspelling of theirs is refused.
///
/// If the query contains `$1`, it has to select a column `position` (an integer that grows with
/// every row) and gets the greatest position seen so far; otherwise the whole result is compared
/// with that of the previous look, which is simpler and slower.
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
    Withheld,
}

impl Probe {
    /// Rows are state changes that an event has to announce: `event_id`, and, where the system has
    /// them, `entity`, `topic`, `event_type`, `correlation_id`, `cause_id`, `is_root`.
    ///
    /// `is_root` tells [`Causality`](crate::checker::Causality) what it cannot see: true where a request
    /// from outside begins a flow with this row (rows of one request have one `cause_id` or one
    /// transaction), false where an event caused it, which `cause_id` has to name, and NULL where either
    /// may be right, as when clients go on under a correlation id of theirs. Tell it by what the row is,
    /// such as its `event_type`: told by `cause_id IS NULL` alone, a lost cause looks like a root.
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

    /// Rows are events that were committed and that who has to publish them has put aside, because the broker takes none
    /// of them as it is: `event_id`, and, where the system has them, `entity`, `reason`. A row that is gone was released.
    pub fn withheld(query: impl Into<String>) -> Self {
        Probe {
            query: query.into(),
            kind: Kind::Withheld,
        }
    }

    /// The consumer group whose effects it shows, if it says so.
    pub(crate) fn shows(&self) -> Option<&str> {
        match &self.kind {
            Kind::Applied(own) | Kind::Discarded(own) => own.as_deref(),
            Kind::Announced | Kind::Withheld => None,
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
    pub(crate) fn verify(&self, observer: &mut Observer) -> Result<(), ReadError> {
        let found = observer.columns(&self.query)?;
        let has = |wanted: &str| found.iter().any(|own| own == wanted);
        let needed = match self.query.contains("$1") {
            true => &["event_id", "position"][..],
            false => &["event_id"],
        };
        if let Some(column) = needed.iter().find(|column| !has(column)) {
            return Err(ReadError::NoColumn((*column).to_owned()));
        }
        let missing: Vec<&str> = self.columns().filter(|column| !has(column)).collect();
        let strange = found.iter().map(String::as_str);
        let mut strange = strange.filter(|own| self.columns().all(|column| column != *own));
        let misspelt = strange.find_map(|own| Some((own, nearest(own, missing.iter().copied())?)));
        match misspelt {
            Some((own, meant)) => Err(ReadError::NoColumn(format!(
                "{meant}, which `{own}` is most likely meant to be"
            ))),
            None => Ok(()),
        }
    }

    /// The columns that a probe of this kind reads, if the query has them.
    fn columns(&self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match &self.kind {
            Kind::Announced => &[
                "correlation_id",
                "topic",
                "event_type",
                "cause_id",
                "is_root",
            ],
            Kind::Applied(_) | Kind::Discarded(_) => &["correlation_id", "consumer", "effect"],
            Kind::Withheld => &["reason"],
        };
        let all = &["event_id", "position", "entity"];
        all.iter().chain(own).copied()
    }

    /// Every row belongs to this consumer group, whatever the column `consumer` says.
    #[must_use]
    pub fn by(mut self, consumer: &str) -> Self {
        match &mut self.kind {
            Kind::Applied(own) | Kind::Discarded(own) => *own = Some(consumer.to_owned()),
            Kind::Announced | Kind::Withheld => {}
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
    pub(crate) fn look(&mut self, observer: &mut Observer) -> Result<Vec<Fact>, ReadError> {
        let overlap = match observer.is_postgres() {
            true => OVERLAP,
            false => 0,
        };
        let from = self.greatest.saturating_sub(overlap);
        let from = self.incremental.then_some(from);
        let rows = observer.rows(self.probe.query(), from)?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut facts = Vec::new();
        for row in &rows {
            let is_new = if self.incremental {
                self.is_new_position(row, overlap)?
            } else {
                let content = format!("{row:?}");
                let before = self.seen.get(&content).copied().unwrap_or_default();
                let number = counts.entry(content).or_default();
                *number += 1;
                *number > before
            };
            if is_new {
                facts.push(self.fact(row)?);
            }
        }
        if !self.incremental {
            self.seen = counts;
        }
        Ok(facts)
    }

    /// Notes the position of a row; says whether it was not seen before.
    fn is_new_position(&mut self, row: &Row, overlap: i64) -> Result<bool, ReadError> {
        let position = row.integer("position")?;
        self.greatest = self.greatest.max(position);
        Ok(overlap == 0 || self.seen.insert(position.to_string(), 1).is_none())
    }

    fn fact(&self, row: &Row) -> Result<Fact, ReadError> {
        if row.is_null("event_id") {
            let why = "it is NULL, and every fact is of some event";
            return Err(row::unreadable("event_id", why));
        }
        let event_id = row.text("event_id")?;
        let application = |own: &Option<String>| {
            Ok::<_, ReadError>(Application {
                consumer: match own {
                    Some(own) => own.clone(),
                    None => row.text("consumer")?,
                },
                event_id: event_id.clone(),
                entity: row.text("entity")?,
                effect: row.text("effect")?,
                correlation_id: row.text("correlation_id")?,
            })
        };
        Ok(match &self.probe.kind {
            Kind::Applied(own) => Fact::Applied(application(own)?),
            Kind::Discarded(own) => Fact::Discarded(application(own)?),
            Kind::Withheld => Fact::Withheld(Withholding {
                entity: row.text("entity")?,
                reason: row.text("reason")?,
                event_id,
            }),
            Kind::Announced => Fact::Announced(Announcement {
                entity: row.text("entity")?,
                topic: row.text("topic")?,
                event_type: row.text("event_type")?,
                correlation_id: row.text("correlation_id")?,
                cause_id: row.text("cause_id")?,
                is_root: row.flag("is_root")?,
                event_id,
            }),
        })
    }
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
    observer: &mut Observer,
) -> Result<Vec<BTreeMap<String, Value>>, ReadError> {
    let rows = observer.rows(&view.query, None)?;
    Ok(rows.into_iter().map(Row::into_json).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use stormglass_sqlite::Reader;

    use super::{Observer, Probe, Watch};
    use crate::history::{Application, Fact};

    fn database(script: &str) -> Observer {
        let mut reader = Reader::open(Path::new(":memory:")).unwrap();
        reader.execute(script).unwrap();
        Observer::Sqlite(reader)
    }

    fn run(observer: &mut Observer, script: &str) {
        match observer {
            Observer::Sqlite(reader) => reader.execute(script).unwrap(),
            Observer::Postgres(_) => unreachable!("these tests work on SQLite"),
        }
    }

    fn seen(watch: &mut Watch, connection: &mut Observer) -> Vec<Application> {
        let facts = watch.look(connection).unwrap();
        let applied = facts.into_iter().map(|fact| match fact {
            Fact::Applied(applied) => applied,
            other => panic!("expected an effect, got {other:?}"),
        });
        applied.collect()
    }

    #[test]
    fn every_type_of_column_is_read_as_what_it_is() {
        let mut connection = database(
            "CREATE TABLE t (event_id INTEGER, entity, effect, correlation_id);
             INSERT INTO t VALUES (7, 12, 1.5, NULL), (8, 'sku-1', 2.0, 'flow')",
        );
        let mut watch = Watch::new(Probe::applied("SELECT * FROM t ORDER BY event_id"));
        let seen = seen(&mut watch, &mut connection);
        let told = seen.iter().map(|own| {
            let texts = [&own.event_id, &own.entity, &own.effect, &own.correlation_id];
            texts.map(String::as_str)
        });
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [["7", "12", "1.5", ""], ["8", "sku-1", "2.0", "flow"]]
        );
    }

    #[test]
    fn the_declared_type_of_a_column_does_not_matter() {
        let mut connection = database(
            "CREATE TABLE t (event_id VARCHAR(9), entity DATETIME);
             INSERT INTO t VALUES ('e1', '2026-01-01 00:00:00')",
        );
        let probe = Probe::applied("SELECT event_id, entity FROM t");
        probe.verify(&mut connection).unwrap();
        let seen = seen(&mut Watch::new(probe), &mut connection);
        assert_eq!(seen[0].entity, "2026-01-01 00:00:00");
    }

    #[test]
    fn a_root_is_declared_by_a_truth_value() {
        let mut connection = database(
            "CREATE TABLE t (event_id INTEGER, is_root);
             INSERT INTO t VALUES (1, TRUE), (2, FALSE), (3, NULL)",
        );
        let mut watch = Watch::new(Probe::announced("SELECT * FROM t ORDER BY event_id"));
        let facts = watch.look(&mut connection).unwrap();
        let declared = facts.iter().map(|fact| match fact {
            Fact::Announced(announced) => announced.is_root,
            other => panic!("expected an announcement, got {other:?}"),
        });
        assert!(declared.eq([Some(true), Some(false), None]));
        run(&mut connection, "UPDATE t SET is_root = 'perhaps'");
        let refused = watch.look(&mut connection).unwrap_err().to_string();
        let why = "`perhaps` is neither true (1) nor false (0)";
        assert!(refused.ends_with(why), "{refused}");
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        let mut connection = database(
            "CREATE TABLE t (event_id, entity); INSERT INTO t VALUES ('e1', x'00ff'), (NULL, '')",
        );
        for (rows, column) in [("entity != ''", "entity"), ("entity = ''", "event_id")] {
            let query = format!("SELECT event_id, entity FROM t WHERE {rows}");
            let mut watch = Watch::new(Probe::applied(query));
            let refused = watch.look(&mut connection).unwrap_err().to_string();
            assert!(refused.contains(&format!("column `{column}`")), "{refused}");
        }
    }

    #[test]
    fn a_row_that_returns_to_an_earlier_value_is_seen_again() {
        let mut connection = database(
            "CREATE TABLE t (event_id, entity); INSERT INTO t VALUES ('e1', 'on'), ('e1', 'on')",
        );
        let mut watch = Watch::new(Probe::applied("SELECT event_id, entity FROM t"));
        assert_eq!(seen(&mut watch, &mut connection).len(), 2);
        assert_eq!(seen(&mut watch, &mut connection).len(), 0);
        run(&mut connection, "UPDATE t SET entity = 'off'");
        assert_eq!(seen(&mut watch, &mut connection).len(), 2);
        run(
            &mut connection,
            "UPDATE t SET entity = 'on' WHERE rowid = 1",
        );
        let returned = seen(&mut watch, &mut connection);
        assert_eq!(returned.len(), 1);
        assert_eq!(returned[0].entity, "on");
    }
}
