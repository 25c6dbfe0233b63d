//! Compatibility: whether readers of one JSON Schema can read what is written to another.
//!
//! The rules are those of Confluent Schema Registry for JSON Schema (documentation, "Schema Evolution and Compatibility"):
//! what a writer may write has to be a part of what a reader takes, and a field that older data lacks has to be optional or
//! to have a default. The content model decides about fields: one added to an open model may have been written before with
//! another meaning, one removed from a closed model is refused. Differences have Confluent's names. Where Confluent compares
//! only a part of a keyword (patterns of properties, `if`, `contains`), this compares all of it, or takes any change for
//! incompatible. Nothing outside of the document is followed, and formats are taken for comments, as there.
//!
//! Reading order: `mode` who has to read whom, `schema` a document, `reading` one schema against another, `content` fields
//! and items, `combined` `allOf`, `anyOf` and `oneOf`, `bounds` numbers, `difference` what is found.

mod bounds;
mod combined;
mod content;
mod difference;
mod mode;
mod reading;
mod schema;
#[cfg(test)]
mod tests;

pub use difference::{Difference, Rule};
pub use mode::{AsModeSays, Mode, Scope, UnknownMode};
pub use schema::{InvalidSchema, Schema};
