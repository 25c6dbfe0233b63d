//! Statements: what the text of one says about its kind, and whether it may write.
//!
//! Nothing is parsed: the words of a statement are looked at, the first one above all. Functions that a read
//! calls are known to write nothing only if they are among the usual ones.

use std::sync::Arc;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// It begins a transaction.
    Begin,
    /// It ends a transaction, which takes effect.
    Commit,
    /// It ends a transaction, which has none.
    Rollback,
    /// A savepoint, its release, or the way back to one.
    Savepoint,
    /// A query.
    Read,
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `TRUNCATE`, `COPY ... FROM`, or a query with one of them within.
    Write,
    /// It changes the schema, or something else that belongs to the database.
    Schema,
    /// `LISTEN` or `UNLISTEN`.
    Listen,
    /// `NOTIFY`.
    Notify,
    /// `SET`, `SHOW`, `RESET` and `DISCARD`.
    Setting,
    /// What cannot be told from its text: `DO`, `CALL`, `EXECUTE`, `LOCK`, and whatever is not listed here.
    Other,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub kind: Kind,
    /// Its text.
    pub text: Arc<str>,
    pub(crate) effect: Effect,
}

/// Whether a statement writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Effect {
    /// It does not.
    #[default]
    None,
    /// It does if it says that it has changed rows.
    ByCount,
    /// Only the server can tell.
    Unknown,
    /// It does.
    Certain,
}

/// Words that are followed by a parenthesis and are no functions, and functions that write nothing.
const HARMLESS: &[&str] = &[
    "abs",
    "all",
    "and",
    "any",
    "array",
    "array_agg",
    "array_append",
    "array_length",
    "array_position",
    "array_remove",
    "array_to_string",
    "as",
    "avg",
    "between",
    "bigint",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "btrim",
    "by",
    "cardinality",
    "case",
    "cast",
    "ceil",
    "ceiling",
    "char",
    "char_length",
    "clock_timestamp",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "date",
    "date_bin",
    "date_part",
    "date_trunc",
    "decimal",
    "decode",
    "dense_rank",
    "digest",
    "distinct",
    "else",
    "encode",
    "every",
    "except",
    "exists",
    "exp",
    "extract",
    "filter",
    "first_value",
    "float",
    "floor",
    "format",
    "format_type",
    "from",
    "gen_random_uuid",
    "generate_series",
    "greatest",
    "group",
    "grouping",
    "hashtext",
    "hashtextextended",
    "having",
    "in",
    "initcap",
    "intersect",
    "interval",
    "is",
    "join",
    "json_agg",
    "json_array_elements",
    "json_array_length",
    "json_build_array",
    "json_build_object",
    "json_each",
    "json_object_agg",
    "json_typeof",
    "jsonb_agg",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_extract_path_text",
    "jsonb_object_agg",
    "jsonb_object_keys",
    "jsonb_path_exists",
    "jsonb_path_query",
    "jsonb_set",
    "jsonb_strip_nulls",
    "jsonb_typeof",
    "justify_interval",
    "lag",
    "last_value",
    "lateral",
    "lead",
    "least",
    "left",
    "length",
    "like",
    "limit",
    "ln",
    "localtime",
    "localtimestamp",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "make_interval",
    "make_timestamptz",
    "materialized",
    "max",
    "md5",
    "min",
    "mod",
    "mode",
    "not",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "numeric",
    "octet_length",
    "of",
    "offset",
    "on",
    "or",
    "order",
    "over",
    "overlaps",
    "partition",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "pg_advisory_lock",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_xact_lock",
    "pg_backend_pid",
    "pg_current_snapshot",
    "pg_get_expr",
    "pg_get_indexdef",
    "pg_is_in_recovery",
    "pg_sleep",
    "pg_snapshot_xmax",
    "pg_snapshot_xmin",
    "pg_try_advisory_lock",
    "pg_try_advisory_xact_lock",
    "pg_typeof",
    "position",
    "power",
    "precision",
    "quote_ident",
    "quote_literal",
    "random",
    "rank",
    "recursive",
    "regexp_match",
    "regexp_matches",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "row",
    "row_number",
    "row_to_json",
    "rpad",
    "rtrim",
    "select",
    "set",
    "sets",
    "sha256",
    "sign",
    "some",
    "split_part",
    "sqrt",
    "starts_with",
    "statement_timestamp",
    "stddev",
    "string_agg",
    "string_to_array",
    "strpos",
    "substr",
    "substring",
    "sum",
    "then",
    "time",
    "timestamp",
    "timestamptz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "transaction_timestamp",
    "translate",
    "trim",
    "trunc",
    "ts_rank",
    "union",
    "unnest",
    "upper",
    "using",
    "values",
    "varchar",
    "variance",
    "version",
    "when",
    "where",
    "with",
    "within",
    "yield",
];

/// A word of a statement, in small letters, and whether a parenthesis follows it.
struct Word {
    text: String,
    is_called: bool,
}

/// The statements of a text, in their order.
pub(crate) fn statements(text: &str) -> Vec<Statement> {
    let mut scanner = Scanner { rest: text };
    let mut statements = Vec::new();
    loop {
        let begin = scanner.rest;
        let words = scanner.words();
        let length = begin.len() - scanner.rest.len();
        let own = begin.get(..length).unwrap_or(begin);
        let own = own.trim_end_matches(';').trim();
        if !words.is_empty() {
            statements.push(statement(own, &words));
        }
        if scanner.rest.is_empty() {
            return statements;
        }
    }
}

fn statement(text: &str, words: &[Word]) -> Statement {
    let kind = kind(words);
    let effect = match kind {
        Kind::Write if is_word(words, 0, "with") || is_word(words, 0, "explain") => Effect::Unknown,
        Kind::Write if is_word(words, 0, "truncate") => Effect::Certain,
        Kind::Write => Effect::ByCount,
        Kind::Schema | Kind::Notify => Effect::Certain,
        Kind::Other => Effect::Unknown,
        Kind::Read if words.iter().any(is_unknown_function) => Effect::Unknown,
        _ => Effect::None,
    };
    Statement {
        kind,
        text: text.into(),
        effect,
    }
}

fn is_unknown_function(word: &Word) -> bool {
    word.is_called && HARMLESS.binary_search(&&*word.text).is_err()
}

fn is_word(words: &[Word], at: usize, text: &str) -> bool {
    words.get(at).is_some_and(|word| word.text == text)
}

fn kind(words: &[Word]) -> Kind {
    let has = |text: &str| words.iter().any(|word| word.text == text);
    let first = words.first().map_or("", |word| &*word.text);
    match first {
        "begin" | "start" => Kind::Begin,
        "prepare" if is_word(words, 1, "transaction") => Kind::Commit,
        "commit" | "end" => Kind::Commit,
        "rollback" | "abort" if has("to") => Kind::Savepoint,
        "rollback" | "abort" => Kind::Rollback,
        "savepoint" | "release" => Kind::Savepoint,
        "insert" | "update" | "delete" | "merge" | "truncate" => Kind::Write,
        "copy" if has("from") => Kind::Write,
        "select" if has("into") => Kind::Schema,
        "with" | "explain" if ["insert", "delete", "merge"].iter().any(|word| has(word)) => {
            Kind::Write
        }
        "with" | "explain" if is_updated(words) => Kind::Write,
        "select" | "values" | "table" | "with" | "explain" | "fetch" | "copy" | "declare"
        | "close" | "move" => Kind::Read,
        "create" | "alter" | "drop" | "grant" | "revoke" | "comment" | "reindex" | "vacuum"
        | "analyze" | "cluster" | "refresh" | "security" | "import" | "reassign" => Kind::Schema,
        "listen" | "unlisten" => Kind::Listen,
        "notify" => Kind::Notify,
        "set" | "show" | "reset" | "discard" | "deallocate" | "prepare" => Kind::Setting,
        _ => Kind::Other,
    }
}

/// Whether a statement has an `UPDATE` that is not a lock of rows.
fn is_updated(words: &[Word]) -> bool {
    words.windows(3).any(|words| {
        let [before, last, word] = words else {
            return false;
        };
        let is_lock = last.text == "for" || (last.text == "key" && before.text == "no");
        word.text == "update" && !is_lock
    })
}

/// What is left of a text.
struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    /// The words of the next statement, outside of strings, quoted names and comments.
    /// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>
    fn words(&mut self) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        // The bodies of SQL functions have semicolons of their own.
        let mut atomic_depth = 0;
        let mut escapes = false;
        while let Some(first) = self.rest.chars().next() {
            let was_escaping = std::mem::take(&mut escapes);
            match first {
                ';' if atomic_depth == 0 => {
                    self.skip(1);
                    break;
                }
                '\'' => self.skip_string(was_escaping),
                '"' => self.skip_until(1, "\""),
                '-' if self.rest.starts_with("--") => self.skip_until(2, "\n"),
                '/' if self.rest.starts_with("/*") => self.skip_comment(),
                '$' => self.skip_dollars(),
                _ if first.is_alphabetic() || first == '_' => {
                    let is_part = |letter: char| letter.is_alphanumeric() || "_$".contains(letter);
                    let end = self.rest.find(|letter| !is_part(letter));
                    let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                    self.rest = rest;
                    let text = word.to_lowercase();
                    escapes = text == "e" && rest.starts_with('\'');
                    match &*text {
                        "atomic" if is_word(&words, words.len().wrapping_sub(1), "begin") => {
                            atomic_depth += 1;
                        }
                        "case" if atomic_depth > 0 => atomic_depth += 1,
                        "end" if atomic_depth > 0 => atomic_depth -= 1,
                        _ => {}
                    }
                    let is_called = rest.trim_start().starts_with('(');
                    words.push(Word { text, is_called });
                }
                _ => self.skip(first.len_utf8()),
            }
        }
        words
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Skips `count` bytes, and everything up to and with `end`.
    fn skip_until(&mut self, count: usize, end: &str) {
        self.skip(count);
        let found = self.rest.find(end);
        self.skip(found.map_or(self.rest.len(), |at| at + end.len()));
    }

    fn skip_string(&mut self, escapes: bool) {
        self.skip(1);
        while let Some(at) = self.rest.find(['\'', '\\']) {
            let is_escape = self.rest.as_bytes().get(at) == Some(&b'\\');
            self.skip(at + 1);
            if !is_escape {
                return;
            }
            if escapes {
                let next = self.rest.chars().next();
                self.skip(next.map_or(0, char::len_utf8));
            }
        }
        self.rest = "";
    }

    fn skip_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else {
                let next = self.rest.chars().next();
                self.skip(next.map_or(0, char::len_utf8));
            }
            if depth == 0 || self.rest.is_empty() {
                return;
            }
        }
    }

    /// Skips a string between dollars, or the number of a parameter.
    fn skip_dollars(&mut self) {
        let inner = self.rest.get(1..).unwrap_or_default();
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = inner.find(|letter| !is_part(letter)).unwrap_or(inner.len());
        let is_tag = inner
            .get(length..)
            .is_some_and(|rest| rest.starts_with('$'))
            && !inner.starts_with(|letter: char| letter.is_ascii_digit());
        if is_tag {
            let tag = self.rest.get(..length + 2).unwrap_or_default();
            self.skip_until(length + 2, tag);
        } else {
            self.skip(1 + length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, HARMLESS, Kind, statements};

    fn check(text: &str, kind: Kind, effect: Effect) {
        let found = statements(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].kind, found[0].effect), (kind, effect), "{text}");
    }

    #[test]
    fn the_list_of_the_harmless_is_in_order() {
        assert!(HARMLESS.is_sorted());
    }

    #[test]
    fn the_first_words_say_what_a_statement_does() {
        check(
            "begin isolation level serializable",
            Kind::Begin,
            Effect::None,
        );
        check("START TRANSACTION", Kind::Begin, Effect::None);
        check("COMMIT", Kind::Commit, Effect::None);
        check("END;", Kind::Commit, Effect::None);
        check("PREPARE TRANSACTION 'x'", Kind::Commit, Effect::None);
        check("ROLLBACK", Kind::Rollback, Effect::None);
        check("ROLLBACK TO SAVEPOINT a", Kind::Savepoint, Effect::None);
        check("INSERT INTO t VALUES (1)", Kind::Write, Effect::ByCount);
        check("COPY t FROM STDIN", Kind::Write, Effect::ByCount);
        check("TRUNCATE t", Kind::Write, Effect::Certain);
        check("COPY t TO STDOUT", Kind::Read, Effect::None);
        check("CREATE TABLE t ()", Kind::Schema, Effect::Certain);
        check("SELECT 1 INTO t", Kind::Schema, Effect::Certain);
        check("LISTEN x", Kind::Listen, Effect::None);
        check("NOTIFY x", Kind::Notify, Effect::Certain);
        check("SET x = 1", Kind::Setting, Effect::None);
        check("DO $$ BEGIN END $$", Kind::Other, Effect::Unknown);
    }

    #[test]
    fn a_read_that_calls_what_is_not_known_may_write() {
        check(
            "SELECT count(*) FROM t WHERE a IN (1, 2)",
            Kind::Read,
            Effect::None,
        );
        check("SELECT place_order($1)", Kind::Read, Effect::Unknown);
        check(
            "SELECT 'place_order(1)', \"f(\" FROM t -- f(1)",
            Kind::Read,
            Effect::None,
        );
        check("SELECT /* f( /* g( */ h( */ 1", Kind::Read, Effect::None);
        check("SELECT $f$ g(1) $f$", Kind::Read, Effect::None);
        check("SELECT E'\\' f(1)', f (1)", Kind::Read, Effect::Unknown);
        check(
            "SELECT * FROM t WHERE a = $1 FOR UPDATE",
            Kind::Read,
            Effect::None,
        );
    }

    #[test]
    fn a_write_may_be_within_a_query() {
        check(
            "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
            Kind::Write,
            Effect::Unknown,
        );
        check(
            "WITH a AS (SELECT 1) UPDATE t SET b = 1",
            Kind::Write,
            Effect::Unknown,
        );
        check(
            "WITH a AS (SELECT 1 FROM t FOR NO KEY UPDATE) SELECT 1",
            Kind::Read,
            Effect::None,
        );
    }

    #[test]
    fn a_text_is_cut_where_its_statements_end() {
        let kinds = |text: &str| {
            let found = statements(text);
            found.iter().map(|own| own.kind).collect::<Vec<_>>()
        };
        let both = [Kind::Begin, Kind::Write];
        assert_eq!(kinds("BEGIN; INSERT INTO t VALUES (';');"), both);
        assert_eq!(kinds(" ; ;; "), []);
        assert_eq!(kinds("-- nothing"), []);
        let function =
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; COMMIT";
        assert_eq!(kinds(function), [Kind::Schema, Kind::Commit]);
        assert_eq!(statements("SELECT 1; COMMIT")[0].text.as_ref(), "SELECT 1");
    }
}
