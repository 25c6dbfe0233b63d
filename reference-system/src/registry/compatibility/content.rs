//! Content models: which fields and items a schema knows, and what it takes beside them.
//!
//! A model is open where anything is taken beside, closed where nothing is, and partly open where that depends on the name or
//! has to fit a schema.

use std::collections::BTreeSet;

use regex::Regex;

use super::difference::Rule;
use super::reading::Reading;
use super::schema::Node;

/// What is taken at a place that a schema does not name.
enum Beside<'s> {
    Anything,
    Nothing,
    /// Whatever fits this.
    Fitting(Node<'s>),
}

impl<'s> Beside<'s> {
    fn of(schema: Node<'s>) -> Self {
        match schema {
            schema if schema.is_anything() => Self::Anything,
            schema if schema.is_nothing() => Self::Nothing,
            schema => Self::Fitting(schema),
        }
    }

    /// What an object takes under a name that is none of its properties.
    fn named(node: Node<'s>, name: &str) -> Self {
        let patterns = node.map("patternProperties").into_iter();
        let mut fitting = patterns.filter(|(pattern, _)| matches(pattern, name));
        let schema = fitting.next().map(|(_, schema)| schema);
        Self::of(schema.unwrap_or_else(|| node.schema("additionalProperties")))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name))
}

/// The rules that are broken where the reader knows a place that the writer does not, or the other way round.
struct Rules {
    added_to_open: Rule,
    added_not_covered: Rule,
    removed_from_closed: Rule,
    removed_not_covered: Rule,
}

const OF_FIELDS: Rules = Rules {
    added_to_open: Rule::PropertyAddedToOpen,
    added_not_covered: Rule::PropertyAddedNotCovered,
    removed_from_closed: Rule::PropertyRemovedFromClosed,
    removed_not_covered: Rule::PropertyRemovedNotCovered,
};

const OF_ITEMS: Rules = Rules {
    added_to_open: Rule::ItemAddedToOpen,
    added_not_covered: Rule::ItemAddedNotCovered,
    removed_from_closed: Rule::ItemRemovedFromClosed,
    removed_not_covered: Rule::ItemRemovedNotCovered,
};

/// Compares the fields of objects.
pub(super) fn fields(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    reading.within("properties", |reading| properties(reading, writer, reader));
    reading.within("required", |reading| required(reading, writer, reader));
    further(reading, writer, reader);
    together(reading, writer, reader);
}

fn properties(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    let (written, read) = (writer.map("properties"), reader.map("properties"));
    let of = |own: &[(&str, Node<'_>)], name: &str| own.iter().any(|(known, _)| *known == name);
    for (name, schema) in &written {
        let known = read.iter().find(|(known, _)| known == name);
        reading.within(name, |reading| match known {
            Some((_, known)) => reading.compare(*schema, *known),
            None => removed(reading, *schema, Beside::named(reader, name), &OF_FIELDS),
        });
    }
    for (name, schema) in read.iter().filter(|(name, _)| !of(&written, name)) {
        let beside = Beside::named(writer, name);
        let is_open = matches!(beside, Beside::Anything);
        reading.within(name, |reading| {
            added(reading, beside, *schema, &OF_FIELDS);
            let is_missed = reader.required().contains(name) && schema.keyword("default").is_none();
            if is_missed && !is_open {
                reading.differs(Rule::RequiredPropertyAdded);
            }
        });
    }
}

/// The reader knows a place that the writer does not.
fn added(reading: &mut Reading, beside: Beside<'_>, schema: Node<'_>, rules: &Rules) {
    match beside {
        Beside::Nothing => {}
        Beside::Anything if schema.is_anything() => {}
        Beside::Anything => reading.differs(rules.added_to_open),
        Beside::Fitting(written) if reading.reads(written, schema) => {}
        Beside::Fitting(_) => reading.differs(rules.added_not_covered),
    }
}

/// The writer knows a place that the reader does not.
fn removed(reading: &mut Reading, schema: Node<'_>, beside: Beside<'_>, rules: &Rules) {
    match beside {
        Beside::Anything => {}
        Beside::Nothing if schema.is_nothing() => {}
        Beside::Nothing => reading.differs(rules.removed_from_closed),
        Beside::Fitting(read) if reading.reads(schema, read) => {}
        Beside::Fitting(_) => reading.differs(rules.removed_not_covered),
    }
}

/// Fields that both know, or that neither declares, and that only the reader requires.
fn required(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    let written: BTreeSet<&str> = writer
        .map("properties")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let read = reader.map("properties");
    let kept = writer.required();
    for name in reader
        .required()
        .into_iter()
        .filter(|name| !kept.contains(name))
    {
        let schema = read
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, schema)| schema);
        let is_new = schema.is_some() && !written.contains(name);
        let has_default = schema.is_some_and(|schema| schema.keyword("default").is_some());
        if !is_new && !has_default {
            reading.differs_at(name, Rule::RequiredAdded);
        }
    }
}

/// What both take beside the fields that they name.
fn further(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    let keyword = "additionalProperties";
    let (written, read) = (writer.schema(keyword), reader.schema(keyword));
    match (Beside::of(written), Beside::of(read)) {
        (_, Beside::Anything) | (Beside::Nothing, _) => {}
        (_, Beside::Nothing) => reading.differs_at(keyword, Rule::AdditionalPropertiesRemoved),
        (Beside::Anything, _) => reading.differs_at(keyword, Rule::AdditionalPropertiesNarrowed),
        _ => reading.compare_at(keyword, written, read),
    }
    let keyword = "patternProperties";
    let (of_writer, of_reader) = (writer.map(keyword), reader.map(keyword));
    let other =
        |own: &[(&str, Node<'_>)], name: &str| own.iter().position(|(known, _)| *known == name);
    for (pattern, schema) in &of_writer {
        let read = other(&of_reader, pattern).map_or(read, |at| of_reader[at].1);
        reading.within(keyword, |reading| {
            reading.compare_at(pattern, *schema, read)
        });
    }
    for (pattern, schema) in &of_reader {
        if other(&of_writer, pattern).is_none() {
            reading.within(keyword, |reading| {
                reading.compare_at(pattern, written, *schema)
            });
        }
    }
}

/// Fields that the reader wants together.
fn together(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    for keyword in ["dependentRequired", "dependencies"] {
        for (name, wanted) in reader.map(keyword) {
            let kept = writer.map(keyword);
            let kept = kept
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, own)| own);
            let is_kept = kept.is_some_and(|kept| kept.has_all_of(wanted));
            if !is_kept {
                reading.within(keyword, |reading| {
                    reading.differs_at(name, Rule::DependencyAdded)
                });
            }
        }
    }
}

/// Compares the items of arrays.
pub(super) fn items(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    let (written, read) = (Items::of(writer), Items::of(reader));
    for place in 0..written.first.len().max(read.first.len()) {
        let own = (written.first.get(place), read.first.get(place));
        reading.within("items", |reading| {
            reading.within(&place.to_string(), |reading| match own {
                (Some(written), Some(read)) => reading.compare(*written, *read),
                (Some(own), None) => removed(reading, *own, Beside::of(read.rest), &OF_ITEMS),
                (None, Some(own)) => added(reading, Beside::of(written.rest), *own, &OF_ITEMS),
                (None, None) => {}
            });
        });
    }
    reading.compare_at("items", written.rest, read.rest);
    let differ = |node: Node<'_>| node.keyword("uniqueItems") == Some(&true.into());
    if differ(reader) && !differ(writer) {
        reading.differs_at("uniqueItems", Rule::UniqueItemsAdded);
    }
}

/// The items of an array.
struct Items<'s> {
    /// The first ones, each with a schema of its own.
    first: Vec<Node<'s>>,
    /// All others.
    rest: Node<'s>,
}

impl<'s> Items<'s> {
    /// Up to draft 2019-09 `items` lists the first ones and `additionalItems` is about the rest, later `prefixItems` and `items`.
    fn of(node: Node<'s>) -> Self {
        let listed = node.list("items");
        match listed.is_empty() {
            false => Self {
                first: listed,
                rest: node.schema("additionalItems"),
            },
            true => Self {
                first: node.list("prefixItems"),
                rest: node.schema("items"),
            },
        }
    }
}
