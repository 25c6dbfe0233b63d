//! The rules of compatibility, as tables: what is written, who reads it, and what is in the way; and which versions are
//! compared.

mod combined;
mod fields;
mod values;

use serde_json::{Value, json};

use super::reading::differences;
use super::{AsModeSays, Mode, Rule, Schema, Scope};

fn schema(value: Value) -> Schema {
    Schema::parse(&value.to_string()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// What keeps readers of the second schema from reading what is written to the first.
fn found(writer: Value, reader: Value) -> Vec<Rule> {
    let found = differences(&schema(writer), &schema(reader));
    found.into_iter().map(|own| own.rule).collect()
}

/// A name, what is written, who reads it, and what is in the way.
type Case = (&'static str, Value, Value, &'static [Rule]);

fn check<const N: usize>(cases: [Case; N]) {
    for (case, writer, reader, expected) in cases {
        assert_eq!(found(writer, reader), expected, "{case}");
    }
}

/// An object that takes nothing but these fields.
fn closed(properties: Value, required: Value) -> Value {
    let mut object = open(properties, required);
    object["additionalProperties"] = false.into();
    object
}

/// An object that takes anything beside these fields.
fn open(properties: Value, required: Value) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The same object with something else demanded.
fn with(mut object: Value, keyword: &str, value: Value) -> Value {
    object[keyword] = value;
    object
}

#[test]
fn a_difference_names_its_place() {
    let of = |name: &str| closed(json!({ "a/b": { "type": name } }), json!([]));
    let found = differences(&schema(of("string")), &schema(of("integer")));
    let told =
        "TYPE_CHANGED at '#/properties/a~1b/type': the reader takes another type than is written";
    assert_eq!(found[0].to_string(), told);
}

#[test]
fn what_cannot_be_meant_is_no_schema() {
    for (text, is_one) in [
        ("true", true),
        ("{}", true),
        (r#"{"type": ["string", "null"], "unknown": 1}"#, true),
        ("", false),
        ("{", false),
        ("7", false),
        (r#"{"type": "text"}"#, false),
        (r#"{"type": 7}"#, false),
        (r#"{"properties": []}"#, false),
        (r#"{"properties": {"a": 7}}"#, false),
        (r#"{"required": "a"}"#, false),
        (r#"{"minimum": "1"}"#, false),
        (r#"{"multipleOf": 0}"#, false),
        (r#"{"pattern": "("}"#, false),
        (r#"{"patternProperties": {"(": true}}"#, false),
        (r#"{"oneOf": []}"#, false),
        (r##"{"$ref": "#/definitions/missing"}"##, false),
        (r##"{"$ref": "#"}"##, false),
        (r#"{"$ref": "other.json"}"#, false),
    ] {
        assert_eq!(Schema::parse(text).is_ok(), is_one, "{text}");
    }
}

#[test]
fn white_space_is_insignificant() {
    let texts = [
        "{\"type\":\"object\",\"title\":\"a\"}",
        "{ \"type\" : \"object\",\n\"title\": \"a\" }",
    ];
    let [one, other] = texts.map(|text| Schema::parse(text).unwrap());
    assert_eq!(one.text(), other.text());
}

#[test]
fn a_mode_says_who_reads_whom() {
    let before = || schema(closed(json!({ "a": { "type": "string" } }), json!(["a"])));
    let added = || {
        schema(closed(
            json!({ "a": { "type": "string" }, "b": { "type": "string" } }),
            json!(["a"]),
        ))
    };
    for (mode, may_add, may_remove) in [
        (Mode::None, true, true),
        (Mode::Backward, true, false),
        (Mode::BackwardTransitive, true, false),
        (Mode::Forward, false, true),
        (Mode::ForwardTransitive, false, true),
        (Mode::Full, false, false),
        (Mode::FullTransitive, false, false),
    ] {
        assert_eq!(
            mode.check(&added(), [&before()]).is_empty(),
            may_add,
            "{mode} adds"
        );
        assert_eq!(
            mode.check(&before(), [&added()]).is_empty(),
            may_remove,
            "{mode} removes"
        );
        assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
    }
    assert!("SIDEWARD".parse::<Mode>().is_err());
}

#[test]
fn what_goes_with_the_last_version_need_not_go_with_the_first() {
    let first = schema(closed(json!({}), json!([])));
    let with_default = json!({ "b": { "type": "integer", "default": 0 } });
    let second = schema(closed(with_default, json!(["b"])));
    let third = schema(closed(json!({ "b": { "type": "integer" } }), json!(["b"])));
    let earlier = [first, second];
    for (mode, is_let_in) in [(Mode::Backward, true), (Mode::BackwardTransitive, false)] {
        let compared = AsModeSays.compared(mode, &earlier);
        assert_eq!(mode.check(&third, compared).is_empty(), is_let_in, "{mode}");
    }
    assert!(AsModeSays.compared(Mode::Full, &[]).is_empty());
}
