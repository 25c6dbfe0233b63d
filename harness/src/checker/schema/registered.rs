//! Registered: of two versions that exclude each other a registry lets in one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Pair, Schema};
use crate::checker::breach::Breach;
use crate::history::History;

/// What the registry did.
#[derive(Default)]
pub(super) struct Registered {
    pub(super) breaches: Vec<Breach<'static>>,
    pub(super) is_tested: bool,
}

pub(super) fn judge(schema: &Schema, history: &History) -> Registered {
    let view = schema.registry.as_deref();
    let Some((index, rows)) = view.and_then(|view| history.final_state(view)) else {
        return Registered::default();
    };
    let is_in = |subject: &str, version: &str| {
        let mut registered = rows
            .iter()
            .filter(|row| text(row, "outcome") == "registered");
        registered.any(|row| text(row, "subject") == subject && text(row, "version") == version)
    };
    let broken = schema
        .pairs
        .iter()
        .filter(|own| is_in(&own.subject, &own.earlier) && is_in(&own.subject, &own.later));
    let breach = |own: &Pair| {
        let summary = format!(
            "version {} of {} was let in, although it breaks version {}",
            own.later, own.subject, own.earlier
        );
        Breach::at(index, summary).by_rule("incompatible-registered")
    };
    Registered {
        breaches: broken.map(breach).collect(),
        is_tested: rows.iter().any(|row| text(row, "outcome") == "refused"),
    }
}

/// A column as a text, whatever the database takes it for.
fn text(row: &BTreeMap<String, Value>, column: &str) -> String {
    match row.get(column) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
