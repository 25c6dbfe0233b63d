//! Statements: what SQL does to data, told by its first words.
//!
//! It parses no more than that. What it cannot tell counts as a write, which costs a look too many.

/// Whether something follows the first semicolon.
fn is_script(sql: &str) -> bool {
    let rest = sql.split_once(';').map_or("", |(_, rest)| rest);
    rest.contains(|c: char| c.is_ascii_alphanumeric())
}

/// Words that begin a statement which changes rows and says how many.
const CHANGES: &[&str] = &["insert", "update", "delete", "replace", "merge"];

/// What a transaction has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// Nothing, such as a `DELETE` that met no row.
    #[default]
    None,
    /// Rows of tables that are written in the background, and no others.
    Background,
    /// Rows that somebody may wait for.
    Change,
}

/// Whether a statement that says it touched this many rows has changed anything. Errs on the side of
/// yes where it does not say.
pub(crate) fn has_changed(sql: &str, rows: u64) -> bool {
    let counts = !is_script(sql) && (is_any(first_word(sql), CHANGES) || first_is_with(sql));
    !counts || rows > 0
}

/// Whether every table that a statement writes is one of `tables`.
pub(crate) fn writes_only(sql: &str, tables: &[String]) -> bool {
    let written = tables_written(sql);
    let known = |table: &String| tables.iter().any(|own| own.eq_ignore_ascii_case(table));
    !written.is_empty() && written.iter().all(known)
}

/// The tables that a statement writes, without their schemas.
fn tables_written(sql: &str) -> Vec<String> {
    let words: Vec<String> = words(sql).collect();
    let mut tables = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |index| &words[index]);
        let names_a_table = match word.as_str() {
            "into" => true,
            "update" => !["for", "do", "key", "on"].contains(&before),
            "from" => before == "delete",
            _ => false,
        };
        let mut after = words[index + 1..].iter();
        let next = match after.next().map(String::as_str) {
            // SQLite's `UPDATE OR IGNORE t` and PostgreSQL's `UPDATE ONLY t`.
            Some("or") => after.nth(1),
            Some("only") => after.next(),
            _ => words.get(index + 1),
        };
        if let Some(table) = next.filter(|_| names_a_table) {
            tables.push(table.rsplit('.').next().unwrap_or(table).to_owned());
        }
    }
    tables
}

fn first_word(sql: &str) -> &str {
    let rest = sql.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphabetic());
    &rest[..end.unwrap_or(rest.len())]
}

fn first_is_with(sql: &str) -> bool {
    first_word(sql).eq_ignore_ascii_case("with")
}

fn is_any(word: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|own| word.eq_ignore_ascii_case(own))
}

/// The words of a statement in lower case, names with their schemas and without their quotes.
fn words(sql: &str) -> impl Iterator<Item = String> {
    sql.split(|c: char| !(c.is_alphanumeric() || "_.\"`[]".contains(c)))
        .map(|word| word.replace(['"', '`', '[', ']'], "").to_lowercase())
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{has_changed, writes_only};

    #[test]
    fn a_statement_that_touched_no_row_changes_nothing() {
        for sql in [
            "DELETE FROM t",
            "UPDATE t SET a = 1",
            "WITH x AS (SELECT 1) DELETE FROM t",
        ] {
            assert!(!has_changed(sql, 0), "{sql}");
            assert!(has_changed(sql, 2), "{sql}");
        }
        for sql in ["CREATE TABLE t (a)", "DELETE FROM t; DELETE FROM u"] {
            assert!(has_changed(sql, 0), "{sql}");
        }
    }

    #[test]
    fn the_tables_that_a_statement_writes_are_told() {
        let own = ["leases".to_owned()];
        for sql in [
            "UPDATE leases SET until = $1",
            "insert or replace into \"leases\"(owner) VALUES ($1)",
            "INSERT INTO leases VALUES (1) ON CONFLICT (id) DO UPDATE SET owner = 'me'",
            "delete from public.leases",
            "UPDATE OR IGNORE [leases] SET until = 1",
        ] {
            assert!(writes_only(sql, &own), "{sql}");
        }
        for sql in [
            "UPDATE orders SET lease = 'leases'",
            "WITH gone AS (DELETE FROM leases RETURNING id) INSERT INTO orders SELECT id FROM gone",
            "CREATE TABLE leases (id)",
        ] {
            assert!(!writes_only(sql, &own), "{sql}");
        }
    }
}
