//! The rules about schemas that are made of others.

use serde_json::{Value, json};

use super::{check, closed, open, with};
use crate::registry::compatibility::Rule;

#[test]
fn alternatives_may_be_added_and_demands_dropped() {
    let text = || json!({ "type": "string" });
    let number = || json!({ "type": "number" });
    let integer = || json!({ "type": "integer" });
    let of = |criterion: &str, parts: Value| json!({ criterion: parts });
    check([
        (
            "one more",
            of("oneOf", json!([text()])),
            of("oneOf", json!([text(), number()])),
            &[],
        ),
        (
            "one fewer",
            of("anyOf", json!([text(), number()])),
            of("anyOf", json!([text()])),
            &[Rule::SumNarrowed],
        ),
        (
            "in another order",
            of("anyOf", json!([text(), number()])),
            of("anyOf", json!([number(), text()])),
            &[],
        ),
        (
            "a partner for each",
            of("anyOf", json!([number(), integer()])),
            of("anyOf", json!([integer(), number()])),
            &[],
        ),
        (
            "no partner",
            of("anyOf", json!([text(), number()])),
            of("anyOf", json!([text(), integer()])),
            &[Rule::CombinedSubschemasChanged],
        ),
        (
            "one to several",
            text(),
            of("oneOf", json!([number(), text()])),
            &[],
        ),
        (
            "one to several others",
            text(),
            of("oneOf", json!([number(), integer()])),
            &[Rule::TypeChanged],
        ),
        (
            "several to one",
            of("oneOf", json!([number(), text()])),
            text(),
            &[Rule::TypeChanged],
        ),
        (
            "the only one",
            of("oneOf", json!([integer()])),
            number(),
            &[],
        ),
        (
            "any instead of one",
            of("oneOf", json!([text(), number()])),
            of("anyOf", json!([text(), number()])),
            &[],
        ),
        (
            "one instead of any",
            of("anyOf", json!([text(), number()])),
            of("oneOf", json!([text(), number()])),
            &[Rule::CombinedTypeChanged],
        ),
        (
            "one more demand",
            of("allOf", json!([{ "minimum": 1 }])),
            of("allOf", json!([{ "minimum": 1 }, { "maximum": 9 }])),
            &[Rule::ProductExtended],
        ),
        (
            "one demand fewer",
            of("allOf", json!([{ "minimum": 1 }, { "maximum": 9 }])),
            of("allOf", json!([{ "minimum": 1 }])),
            &[],
        ),
        (
            "a demand beside alternatives",
            json!({ "type": "object", "required": ["a"], "oneOf": [{ "required": ["b"] }] }),
            json!({ "type": "object", "required": [], "oneOf": [{ "required": ["b"] }] }),
            &[],
        ),
    ]);
}

#[test]
fn what_is_refused_may_only_become_less() {
    let of = |name: &str| json!({ "not": { "type": name } });
    check([
        ("less", of("number"), of("integer"), &[]),
        ("more", of("integer"), of("number"), &[Rule::NotExtended]),
        ("at last", json!({}), of("number"), &[Rule::NotExtended]),
    ]);
}

#[test]
fn what_is_not_compared_in_parts_has_to_stay() {
    let of = |value: Value| json!({ "type": "array", "contains": value });
    let fields = |wanted: Value| {
        with(
            open(json!({}), json!([])),
            "dependentRequired",
            json!({ "a": wanted }),
        )
    };
    check([
        (
            "kept",
            of(json!({ "const": 1 })),
            of(json!({ "const": 1 })),
            &[],
        ),
        (
            "removed",
            of(json!({ "const": 1 })),
            json!({ "type": "array" }),
            &[],
        ),
        (
            "changed",
            of(json!({ "const": 1 })),
            of(json!({ "const": 2 })),
            &[Rule::KeywordChanged],
        ),
        (
            "fewer together",
            fields(json!(["b", "c"])),
            fields(json!(["b"])),
            &[],
        ),
        (
            "more together",
            fields(json!(["b"])),
            fields(json!(["b", "c"])),
            &[Rule::DependencyAdded],
        ),
    ]);
}

#[test]
fn references_within_the_document_are_followed_also_in_circles() {
    let tree = |value: &str| {
        json!({
            "$ref": "#/definitions/tree",
            "definitions": { "tree": closed(
                json!({ "value": { "type": value }, "left": { "$ref": "#/definitions/tree" } }),
                json!(["value"]),
            ) },
        })
    };
    check([
        ("the same", tree("integer"), tree("integer"), &[]),
        ("widened", tree("integer"), tree("number"), &[]),
        (
            "narrowed",
            tree("number"),
            tree("integer"),
            &[Rule::TypeNarrowed],
        ),
    ]);
}
