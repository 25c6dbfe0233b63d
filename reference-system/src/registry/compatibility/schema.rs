//! A JSON Schema document: read, checked for sense, and brought into a form in which it can be compared.
//!
//! Values are not validated against it: producers and consumers do that by their types.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

use super::bounds;

/// Keywords that hold one schema each.
const SCHEMAS: [&str; 10] = [
    "additionalProperties",
    "additionalItems",
    "contains",
    "not",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that hold a list of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold schemas by name.
const MAPS: [&str; 5] = [
    "properties",
    "patternProperties",
    "definitions",
    "$defs",
    "dependentSchemas",
];
/// Keywords that combine schemas.
const COMBINING: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords that say nothing about what may be written.
const COMMENTS: [&str; 13] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "format",
    "readOnly",
    "deprecated",
    "definitions",
    "$defs",
];
/// The types there are.
const TYPES: [&str; 7] = [
    "object", "array", "string", "number", "integer", "boolean", "null",
];
/// How many references may lead from one to the next.
const REFERENCES_MAX: usize = 32;

/// Why a text is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchema(String);

/// A schema that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    text: String,
    root: Value,
}

impl Schema {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is no JSON, a keyword has a value that it cannot have, or a reference leads nowhere or out of the document.
    pub fn parse(text: &str) -> Result<Self, InvalidSchema> {
        let document: Value = serde_json::from_str(text)
            .map_err(|error| InvalidSchema(format!("not JSON: {error}")))?;
        makes_sense(&document, &document)?;
        Ok(Self {
            text: document.to_string(),
            root: apart(document),
        })
    }

    /// The document without insignificant white space: equal for equal schemas.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn node(&self) -> Node<'_> {
        Node {
            root: &self.root,
            value: &self.root,
        }
    }
}

/// Fails where a schema, or one within it, has a keyword that cannot be meant.
fn makes_sense(schema: &Value, root: &Value) -> Result<(), InvalidSchema> {
    let wrong = |keyword: &str| Err(InvalidSchema(format!("`{keyword}` cannot be {schema}")));
    let object = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(object) => object,
        other => return Err(InvalidSchema(format!("{other} is no schema"))),
    };
    for (keyword, value) in object {
        let keyword = keyword.as_str();
        let is_fine = match keyword {
            "type" => types(value).is_some(),
            "required" => texts(value).is_some(),
            "enum" => value.is_array(),
            "pattern" => value.as_str().is_some_and(|own| Regex::new(own).is_ok()),
            "multipleOf" => value.as_f64().is_some_and(|own| own > 0.0),
            "uniqueItems" => value.is_boolean(),
            "dependentRequired" | "dependencies" => value.is_object(),
            "$ref" => reference(value, root, REFERENCES_MAX).is_some(),
            _ if bounds::keywords().any(|own| own == keyword) => value.is_number(),
            _ if LISTS.contains(&keyword) => value.as_array().is_some_and(|own| !own.is_empty()),
            _ if MAPS.contains(&keyword) => value.is_object(),
            _ => true,
        };
        if !is_fine {
            return wrong(keyword);
        }
    }
    let patterns = object.get("patternProperties").and_then(Value::as_object);
    if let Some(pattern) = patterns
        .into_iter()
        .flat_map(Map::keys)
        .find(|own| Regex::new(own).is_err())
    {
        return wrong(pattern);
    }
    within(object).try_for_each(|inner| makes_sense(inner, root))
}

/// The schemas directly within one.
fn within(object: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    object.iter().flat_map(|(keyword, value)| {
        let inner: Vec<&Value> = match (keyword.as_str(), value) {
            ("items", Value::Array(items)) => items.iter().collect(),
            ("items", item) => vec![item],
            (own, item) if SCHEMAS.contains(&own) => vec![item],
            (own, Value::Array(items)) if LISTS.contains(&own) => items.iter().collect(),
            (own, Value::Object(items)) if MAPS.contains(&own) => items.values().collect(),
            _ => Vec::new(),
        };
        inner
    })
}

/// The same schema, in which whatever is combined stands apart from what else is demanded: all of it has to be fulfilled.
fn apart(schema: Value) -> Value {
    let Value::Object(mut object) = schema else {
        return schema;
    };
    for (keyword, value) in &mut object {
        let keyword = keyword.as_str();
        match value {
            Value::Array(items) if keyword == "items" || LISTS.contains(&keyword) => {
                items.iter_mut().for_each(|item| *item = apart(item.take()));
            }
            Value::Object(items) if MAPS.contains(&keyword) => {
                items
                    .values_mut()
                    .for_each(|item| *item = apart(item.take()));
            }
            item if keyword == "items" || SCHEMAS.contains(&keyword) => *item = apart(item.take()),
            _ => {}
        }
    }
    let is_comment = |keyword: &String| COMMENTS.contains(&keyword.as_str());
    let (comments, demands): (Map<_, _>, Map<_, _>) = object
        .into_iter()
        .partition(|(keyword, _)| is_comment(keyword));
    let (combining, base): (Map<_, _>, Map<_, _>) = demands
        .into_iter()
        .partition(|(keyword, _)| COMBINING.contains(&keyword.as_str()));
    let is_combined = !combining.is_empty() && combining.len() + base.len() > 1;
    let mut parted = comments;
    if is_combined {
        let each = combining
            .into_iter()
            .map(|(keyword, value)| Map::from_iter([(keyword, value)]));
        let base = (!base.is_empty()).then_some(base);
        let parts = base.into_iter().chain(each).map(Value::Object).collect();
        parted.insert("allOf".to_owned(), Value::Array(parts));
    } else {
        parted.extend(combining);
        parted.extend(base);
    }
    Value::Object(parted)
}

/// What a reference leads to, within so many steps.
fn reference<'r>(value: &Value, root: &'r Value, steps: usize) -> Option<&'r Value> {
    let target = root.pointer(value.as_str()?.strip_prefix('#')?)?;
    match target.get("$ref") {
        Some(next) => reference(next, root, steps.checked_sub(1)?),
        None => Some(target),
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn types(value: &Value) -> Option<Vec<&str>> {
    let named = match value {
        Value::String(one) => vec![one.as_str()],
        many => texts(many)?,
    };
    named.iter().all(|own| TYPES.contains(own)).then_some(named)
}

/// Takes everything.
static ANYTHING: Value = Value::Bool(true);

/// A schema within a document.
#[derive(Clone, Copy)]
pub(super) struct Node<'s> {
    root: &'s Value,
    value: &'s Value,
}

impl<'s> Node<'s> {
    /// The schema that it refers to, or itself.
    pub(super) fn resolved(self) -> Self {
        let target = self.value.get("$ref");
        let target = target.and_then(|own| reference(own, self.root, REFERENCES_MAX));
        self.at(target.unwrap_or(self.value))
    }

    fn at(self, value: &'s Value) -> Self {
        Node { value, ..self }
    }

    /// Tells its place in its document from any other.
    pub(super) fn place(self) -> *const () {
        std::ptr::from_ref(self.value).cast()
    }

    /// Whether it lists everything that `wanted` lists; what is no list has to be the same.
    pub(super) fn has_all_of(self, wanted: Node<'_>) -> bool {
        match (texts(self.value), texts(wanted.value)) {
            (Some(own), Some(wanted)) => wanted.iter().all(|name| own.contains(name)),
            _ => self.value == wanted.value,
        }
    }

    /// Whether it takes everything.
    pub(super) fn is_anything(self) -> bool {
        match self.value {
            Value::Object(object) => object.keys().all(|own| COMMENTS.contains(&own.as_str())),
            other => *other == Value::Bool(true),
        }
    }

    /// Whether it takes nothing.
    pub(super) fn is_nothing(self) -> bool {
        *self.value == Value::Bool(false)
    }

    pub(super) fn keyword(self, name: &str) -> Option<&'s Value> {
        self.value.get(name)
    }

    pub(super) fn number(self, name: &str) -> Option<f64> {
        self.keyword(name)?.as_f64()
    }

    /// The schema that a keyword holds; one that takes everything where it is missing.
    pub(super) fn schema(self, name: &str) -> Self {
        self.at(self.keyword(name).unwrap_or(&ANYTHING))
    }

    /// The schemas that a keyword lists.
    pub(super) fn list(self, name: &str) -> Vec<Self> {
        let own = self.keyword(name).and_then(Value::as_array);
        own.into_iter().flatten().map(|own| self.at(own)).collect()
    }

    /// The schemas that a keyword holds by name.
    pub(super) fn map(self, name: &str) -> Vec<(&'s str, Self)> {
        let own = self.keyword(name).and_then(Value::as_object);
        let own = own.into_iter().flatten();
        own.map(|(name, own)| (name.as_str(), self.at(own)))
            .collect()
    }

    /// The fields that have to be there.
    pub(super) fn required(self) -> BTreeSet<&'s str> {
        let own = self.keyword("required").and_then(texts);
        own.into_iter().flatten().collect()
    }

    /// The values that are taken, if they are listed.
    pub(super) fn values(self) -> Option<Vec<&'s Value>> {
        let listed = self.keyword("enum").and_then(Value::as_array);
        let one = self.keyword("const").map(|own| vec![own]);
        listed.map(|own| own.iter().collect()).or(one)
    }

    /// The types that are taken, if not all of them are: those named, or else the one that its keywords are about.
    pub(super) fn types(self) -> Option<Vec<&'s str>> {
        const TELLING: [(&str, &[&str]); 4] = [
            (
                "object",
                &[
                    "properties",
                    "required",
                    "additionalProperties",
                    "patternProperties",
                ],
            ),
            (
                "array",
                &[
                    "items",
                    "prefixItems",
                    "uniqueItems",
                    "minItems",
                    "maxItems",
                ],
            ),
            ("string", &["pattern", "minLength", "maxLength"]),
            (
                "number",
                &[
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "multipleOf",
                ],
            ),
        ];
        if let Some(named) = self.keyword("type") {
            return types(named);
        }
        let mut telling = TELLING.into_iter();
        let told =
            telling.find(|(_, keywords)| keywords.iter().any(|own| self.keyword(own).is_some()));
        told.map(|(name, _)| vec![name])
    }
}
