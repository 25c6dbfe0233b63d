//! What a statement is for, told by how its text begins.

use crate::witness::Kind;

/// What the statement `sql` is for.
pub(crate) fn kind(sql: &str, is_read_only: bool, in_transaction: bool) -> Kind {
    let mut words = Words(sql);
    let first = words.next().unwrap_or_default();
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    if is("BEGIN") || (is("SAVEPOINT") && !in_transaction) {
        Kind::Begin
    } else if is("COMMIT") || is("END") {
        Kind::Commit
    } else if is("ROLLBACK") {
        match words.take(2).any(|word| word.eq_ignore_ascii_case("TO")) {
            true => Kind::Savepoint,
            false => Kind::RollBack,
        }
    } else if is("SAVEPOINT") || is("RELEASE") {
        Kind::Savepoint
    } else if is("PRAGMA") {
        Kind::Pragma
    } else if is_read_only {
        Kind::Read
    } else {
        Kind::Write
    }
}

/// The words of SQL, without comments and whatever else stands between them.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = self.0;
            let mut chars = rest.chars();
            let first = chars.next()?;
            if rest.starts_with("--") {
                self.0 = rest.split_once('\n').map_or("", |(_, after)| after);
            } else if rest.starts_with("/*") {
                self.0 = rest.split_once("*/").map_or("", |(_, after)| after);
            } else if first.is_alphanumeric() {
                let is_end = |c: char| !c.is_alphanumeric() && c != '_';
                let (word, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
                self.0 = after;
                return Some(word);
            } else {
                self.0 = chars.as_str();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::kind;
    use crate::witness::Kind;

    #[test]
    fn a_statement_is_told_by_its_first_words() {
        let told = |sql, in_transaction| kind(sql, true, in_transaction);
        for (sql, expected) in [
            ("BEGIN IMMEDIATE", Kind::Begin),
            ("-- why\n/* and */ begin", Kind::Begin),
            ("SAVEPOINT s", Kind::Begin),
            ("COMMIT;", Kind::Commit),
            ("END TRANSACTION", Kind::Commit),
            ("ROLLBACK", Kind::RollBack),
            ("ROLLBACK TRANSACTION", Kind::RollBack),
            ("ROLLBACK TO s", Kind::Savepoint),
            ("ROLLBACK TRANSACTION TO SAVEPOINT s", Kind::Savepoint),
            ("RELEASE s", Kind::Savepoint),
            ("PRAGMA journal_mode = WAL", Kind::Pragma),
            ("SELECT 'COMMIT'", Kind::Read),
            ("(SELECT 1)", Kind::Read),
            ("BEGINNER", Kind::Read),
            ("", Kind::Read),
        ] {
            assert_eq!(told(sql, false), expected, "{sql}");
        }
        assert_eq!(told("SAVEPOINT s", true), Kind::Savepoint);
        assert_eq!(kind("INSERT INTO t", false, false), Kind::Write);
    }
}
