//! Statements: what SQL does to a transaction and to data, told by its first words.
//!
//! It parses no more than that. What it cannot tell counts as a write, which costs a look too many.

/// SQL that begins or ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// `BEGIN` in any of its forms.
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    /// `ROLLBACK` of the whole transaction.
    RollBack,
}

impl Control {
    /// `None` for any other statement, and for a script of several.
    pub(super) fn of(sql: &str) -> Option<Control> {
        if is_script(sql) {
            return None;
        }
        let mut words = sql
            .split(|c: char| !c.is_ascii_alphabetic())
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase);
        match words.next()?.as_str() {
            "begin" => Some(Control::Begin),
            "start" if words.next()? == "transaction" => Some(Control::Begin),
            "commit" | "end" => Some(Control::Commit),
            // `ROLLBACK TO` undoes a part and leaves the transaction open.
            "rollback" if words.all(|word| word != "to") => Some(Control::RollBack),
            _ => None,
        }
    }
}

/// Whether something follows the first semicolon.
fn is_script(sql: &str) -> bool {
    let rest = sql.split_once(';').map_or("", |(_, rest)| rest);
    rest.contains(|c: char| c.is_ascii_alphanumeric())
}

/// Words that begin a statement which changes no data, or only controls a transaction.
const READS: &[&str] = &[
    "select",
    "pragma",
    "explain",
    "show",
    "values",
    "set",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "savepoint",
    "release",
];

/// Whether SQL can change data. Errs on the side of yes: a look too many costs a probe.
pub(super) fn is_write(sql: &str) -> bool {
    if is_script(sql) {
        return true;
    }
    let sql = sql.trim_start();
    let word = sql
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    !READS.iter().any(|read| word.eq_ignore_ascii_case(read))
}

#[cfg(test)]
mod tests {
    use super::{Control, is_write};

    #[test]
    fn only_statements_that_cannot_write_count_as_reads() {
        for read in ["SELECT 1", "  select 1", "PRAGMA x", "EXPLAIN SELECT 1"] {
            assert!(!is_write(read), "{read}");
        }
        for write in [
            "INSERT INTO t",
            "update t",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "BEGIN; INSERT INTO t VALUES (1); COMMIT",
        ] {
            assert!(is_write(write), "{write}");
        }
    }

    #[test]
    fn plain_sql_that_begins_or_ends_a_transaction_is_recognised() {
        for (sql, control) in [
            ("BEGIN", Some(Control::Begin)),
            (" begin immediate;", Some(Control::Begin)),
            ("START TRANSACTION", Some(Control::Begin)),
            ("COMMIT;", Some(Control::Commit)),
            ("END TRANSACTION", Some(Control::Commit)),
            ("ROLLBACK", Some(Control::RollBack)),
            ("ROLLBACK TO SAVEPOINT a", None),
            ("SAVEPOINT a", None),
            ("INSERT INTO beginnings VALUES ('begin')", None),
            ("BEGIN; INSERT INTO t VALUES (1); COMMIT", None),
        ] {
            assert_eq!(Control::of(sql), control, "{sql}");
        }
    }
}
