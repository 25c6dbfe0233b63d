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
    if tables.is_empty() {
        return false;
    }
    let mut written = tables_written(sql).into_iter().peekable();
    let known = |table: &str| tables.iter().any(|own| own.eq_ignore_ascii_case(table));
    written.peek().is_some() && written.all(known)
}

/// The tables that a statement writes, without their schemas and quotes.
fn tables_written(sql: &str) -> Vec<&str> {
    let words: Vec<&str> = words(sql).collect();
    let mut tables = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |index| words[index]);
        let names_a_table = match *word {
            word if is(word, "into") => true,
            word if is(word, "update") => !is_any(before, &["for", "do", "key", "on"]),
            word if is(word, "from") => is(before, "delete"),
            _ => false,
        };
        if !names_a_table {
            continue;
        }
        let mut after = words[index + 1..].iter();
        let next = match words.get(index + 1) {
            // SQLite's `UPDATE OR IGNORE t` and PostgreSQL's `UPDATE ONLY t`.
            Some(word) if is(word, "or") => after.nth(2),
            Some(word) if is(word, "only") => after.nth(1),
            _ => after.next(),
        };
        if let Some(table) = next {
            let own = table.rsplit('.').next().unwrap_or(table);
            tables.push(own.trim_matches(QUOTES));
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
    is(first_word(sql), "with")
}

fn is(word: &str, wanted: &str) -> bool {
    word.eq_ignore_ascii_case(wanted)
}

fn is_any(word: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|own| is(word, own))
}

/// What names may stand in.
const QUOTES: &[char] = &['"', '`', '[', ']'];

/// The words of a statement, names with their schemas and their quotes.
fn words(sql: &str) -> impl Iterator<Item = &str> {
    let may_stand = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || QUOTES.contains(&c);
    sql.split(move |c: char| !may_stand(c))
        .filter(|word| !word.trim_matches(QUOTES).is_empty())
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
            "UPDATE ONLY \"public\".\"Leases\" SET until = 1",
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
