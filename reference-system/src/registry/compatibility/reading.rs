//! Reading: one schema against another, keyword by keyword.

use super::bounds;
use super::combined::{self, Combined};
use super::content;
use super::difference::{Difference, Rule};
use super::schema::{Node, Schema};

/// Keywords of which any change that leaves them standing is a difference.
const WHOLE: [&str; 8] = [
    "contains",
    "if",
    "then",
    "else",
    "propertyNames",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// What keeps readers of `reader` from reading what is written to `writer`.
pub(super) fn differences(writer: &Schema, reader: &Schema) -> Vec<Difference> {
    let mut reading = Reading::default();
    reading.compare(writer.node(), reader.node());
    reading.found
}

/// A comparison under way.
#[derive(Default)]
pub(super) struct Reading {
    found: Vec<Difference>,
    path: Vec<String>,
    /// Pairs of schemas that are being compared: a schema may contain itself.
    open: Vec<(*const (), *const ())>,
}

impl Reading {
    /// Notes a difference here.
    pub(super) fn differs(&mut self, rule: Rule) {
        let steps = self.path.iter().map(|step| format!("/{step}"));
        let path = std::iter::once("#".to_owned()).chain(steps).collect();
        self.found.push(Difference { rule, path });
    }

    /// Notes a difference one step further on.
    pub(super) fn differs_at(&mut self, step: &str, rule: Rule) {
        self.within(step, |reading| reading.differs(rule));
    }

    /// Goes on one step further on.
    pub(super) fn within<T>(&mut self, step: &str, go_on: impl FnOnce(&mut Self) -> T) -> T {
        // A slash within a step is written as JSON pointers do.
        self.path.push(step.replace('~', "~0").replace('/', "~1"));
        let done = go_on(self);
        self.path.pop();
        done
    }

    /// Compares two schemas one step further on.
    pub(super) fn compare_at(&mut self, step: &str, writer: Node<'_>, reader: Node<'_>) {
        self.within(step, |reading| reading.compare(writer, reader));
    }

    /// Whether `reader` reads what is written to `writer`; differences are not noted.
    pub(super) fn reads(&mut self, writer: Node<'_>, reader: Node<'_>) -> bool {
        let before = self.found.len();
        self.compare(writer, reader);
        let is_read = self.found.len() == before;
        self.found.truncate(before);
        is_read
    }

    /// Notes what keeps `reader` from reading what is written to `writer`.
    pub(super) fn compare(&mut self, writer: Node<'_>, reader: Node<'_>) {
        let (writer, reader) = (writer.resolved(), reader.resolved());
        if reader.is_anything() || writer.is_nothing() {
            return;
        }
        let pair = (writer.place(), reader.place());
        if self.open.contains(&pair) {
            return;
        }
        self.open.push(pair);
        match (Combined::of(writer), Combined::of(reader)) {
            (None, None) if reader.is_nothing() => self.differs(Rule::TypeChanged),
            (None, None) => self.keywords(writer, reader),
            (written, read) => combined::compare(self, (writer, written), (reader, read)),
        }
        self.open.pop();
    }

    fn keywords(&mut self, writer: Node<'_>, reader: Node<'_>) {
        self.types(writer, reader);
        self.values(writer, reader);
        self.patterns(writer, reader);
        bounds::compare(self, writer, reader);
        content::fields(self, writer, reader);
        content::items(self, writer, reader);
        if reader.keyword("not").is_some() {
            let is_kept = writer.keyword("not").is_some()
                && self.reads(reader.schema("not"), writer.schema("not"));
            if !is_kept {
                self.differs_at("not", Rule::NotExtended);
            }
        }
        for keyword in WHOLE {
            let read = reader.keyword(keyword);
            if read.is_some() && read != writer.keyword(keyword) {
                self.differs_at(keyword, Rule::KeywordChanged);
            }
        }
    }

    fn types(&mut self, writer: Node<'_>, reader: Node<'_>) {
        // Listed values have their types.
        if reader.values().is_some() {
            return;
        }
        let Some(read) = reader.types() else { return };
        let Some(written) = writer.types().or_else(|| types_of_values(writer)) else {
            return self.differs_at("type", Rule::TypeNarrowed);
        };
        let is_read =
            |own: &&str| read.contains(own) || (*own == "integer" && read.contains(&"number"));
        if written.iter().all(is_read) {
            return;
        }
        let is_narrower = written.iter().any(is_read)
            || (written.contains(&"number") && read.contains(&"integer"));
        self.differs_at(
            "type",
            match is_narrower {
                true => Rule::TypeNarrowed,
                false => Rule::TypeChanged,
            },
        );
    }

    fn values(&mut self, writer: Node<'_>, reader: Node<'_>) {
        let Some(read) = reader.values() else { return };
        let written = writer.values();
        let is_read = written.is_some_and(|own| own.iter().all(|value| read.contains(value)));
        if !is_read {
            self.differs_at("enum", Rule::EnumNarrowed);
        }
    }

    fn patterns(&mut self, writer: Node<'_>, reader: Node<'_>) {
        let (written, read) = (writer.keyword("pattern"), reader.keyword("pattern"));
        match (written, read) {
            (_, None) => {}
            (None, Some(_)) => self.differs_at("pattern", Rule::PatternAdded),
            (written, read) if written != read => {
                self.differs_at("pattern", Rule::PatternChanged);
            }
            _ => {}
        }
    }
}

/// The types of the values that are listed, if any are.
fn types_of_values(node: Node<'_>) -> Option<Vec<&'static str>> {
    use serde_json::Value;
    let values = node.values()?;
    let of = |value: &&Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(own) if own.is_i64() || own.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Some(values.iter().map(of).collect())
}
