//! The rules about types, values, bounds, patterns and items.

use serde_json::{Value, json};

use super::{check, found};
use crate::registry::compatibility::Rule;

#[test]
fn types_may_be_widened() {
    let of = |name: Value| json!({ "type": name });
    check([
        (
            "integer to number",
            of(json!("integer")),
            of(json!("number")),
            &[],
        ),
        (
            "number to integer",
            of(json!("number")),
            of(json!("integer")),
            &[Rule::TypeNarrowed],
        ),
        (
            "another one",
            of(json!("string")),
            of(json!("boolean")),
            &[Rule::TypeChanged],
        ),
        (
            "one more",
            of(json!("string")),
            of(json!(["string", "null"])),
            &[],
        ),
        (
            "one fewer",
            of(json!(["string", "null"])),
            of(json!("string")),
            &[Rule::TypeNarrowed],
        ),
        (
            "any to one",
            json!({}),
            of(json!("string")),
            &[Rule::TypeNarrowed],
        ),
        ("one to any", of(json!("string")), json!({}), &[]),
        ("nothing to one", json!(false), of(json!("string")), &[]),
        (
            "one to nothing",
            of(json!("string")),
            json!(false),
            &[Rule::TypeChanged],
        ),
        (
            "told by its keywords",
            json!({ "minLength": 1 }),
            of(json!("string")),
            &[],
        ),
    ]);
}

#[test]
fn values_may_be_added_to_a_list() {
    let of = |values: Value| json!({ "enum": values });
    check([
        ("more", of(json!(["a"])), of(json!(["a", "b"])), &[]),
        (
            "fewer",
            of(json!(["a", "b"])),
            of(json!(["a"])),
            &[Rule::EnumNarrowed],
        ),
        (
            "listed at last",
            json!({ "type": "string" }),
            of(json!(["a"])),
            &[Rule::EnumNarrowed],
        ),
        (
            "no longer listed",
            of(json!(["a"])),
            json!({ "type": "string" }),
            &[],
        ),
        (
            "no longer listed, another type",
            of(json!(["a"])),
            json!({ "type": "integer" }),
            &[Rule::TypeChanged],
        ),
        ("a constant", json!({ "const": 1 }), of(json!([1, 2])), &[]),
        (
            "another constant",
            json!({ "const": 1 }),
            json!({ "const": 2 }),
            &[Rule::EnumNarrowed],
        ),
    ]);
}

#[test]
fn bounds_may_be_loosened() {
    for (keyword, loose, tight) in [
        ("maximum", 10, 9),
        ("exclusiveMaximum", 10, 9),
        ("maxLength", 10, 9),
        ("maxItems", 10, 9),
        ("maxProperties", 10, 9),
        ("minimum", 1, 2),
        ("exclusiveMinimum", 1, 2),
        ("minLength", 1, 2),
        ("minItems", 1, 2),
        ("minProperties", 1, 2),
    ] {
        let of =
            |bound: i64| json!({ "type": ["number", "string", "array", "object"], keyword: bound });
        let unbounded = || json!({ "type": ["number", "string", "array", "object"] });
        assert_eq!(found(of(tight), of(loose)), [], "{keyword} loosened");
        assert_eq!(found(of(loose), unbounded()), [], "{keyword} removed");
        assert_eq!(found(of(loose), of(loose)), [], "{keyword} kept");
        assert_eq!(
            found(of(loose), of(tight)),
            [Rule::BoundTightened],
            "{keyword}"
        );
        assert_eq!(
            found(unbounded(), of(loose)),
            [Rule::BoundAdded],
            "{keyword}"
        );
    }
    let multiple = |of: i64| json!({ "type": "integer", "multipleOf": of });
    check([
        ("a divisor", multiple(6), multiple(3), &[]),
        (
            "a multiple",
            multiple(3),
            multiple(6),
            &[Rule::MultipleOfChanged],
        ),
        (
            "at last",
            json!({ "type": "integer" }),
            multiple(2),
            &[Rule::MultipleOfAdded],
        ),
    ]);
}

#[test]
fn a_pattern_may_only_be_removed() {
    let of = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let free = || json!({ "type": "string" });
    check([
        ("kept", of("^a"), of("^a"), &[]),
        ("removed", of("^a"), free(), &[]),
        ("added", free(), of("^a"), &[Rule::PatternAdded]),
        ("changed", of("^a"), of("^b"), &[Rule::PatternChanged]),
    ]);
}

#[test]
fn items_follow_the_content_model_of_their_array() {
    let of = |items: Value| json!({ "type": "array", "items": items });
    let text = || json!({ "type": "string" });
    let tuple = |items: Value, rest: Value| json!({ "type": "array", "items": items, "additionalItems": rest });
    let prefixed =
        |items: Value, rest: Value| json!({ "type": "array", "prefixItems": items, "items": rest });
    check([
        (
            "widened",
            of(json!({ "type": "integer" })),
            of(json!({ "type": "number" })),
            &[],
        ),
        (
            "another type",
            of(text()),
            of(json!({ "type": "number" })),
            &[Rule::TypeChanged],
        ),
        (
            "told at last",
            json!({ "type": "array" }),
            of(text()),
            &[Rule::TypeNarrowed],
        ),
        (
            "added, closed",
            tuple(json!([text()]), json!(false)),
            tuple(json!([text(), text()]), json!(false)),
            &[],
        ),
        (
            "added, open",
            tuple(json!([text()]), json!(true)),
            tuple(json!([text(), text()]), json!(true)),
            &[Rule::ItemAddedToOpen],
        ),
        (
            "added, not covered",
            tuple(json!([text()]), text()),
            tuple(json!([text(), { "type": "integer" }]), text()),
            &[Rule::ItemAddedNotCovered],
        ),
        (
            "removed, open",
            tuple(json!([text(), text()]), json!(true)),
            tuple(json!([text()]), json!(true)),
            &[],
        ),
        (
            "removed, closed",
            prefixed(json!([text(), text()]), json!(false)),
            prefixed(json!([text()]), json!(false)),
            &[Rule::ItemRemovedFromClosed],
        ),
        (
            "removed, covered",
            prefixed(json!([text(), text()]), text()),
            prefixed(json!([text()]), text()),
            &[],
        ),
        (
            "different ones",
            json!({ "type": "array" }),
            json!({ "type": "array", "uniqueItems": true }),
            &[Rule::UniqueItemsAdded],
        ),
    ]);
}
