//! The rules about the fields of objects.

use serde_json::{Value, json};

use super::{check, closed, open, with};
use crate::registry::compatibility::Rule;

#[test]
fn a_field_is_added_to_a_closed_model_if_older_data_may_lack_it() {
    let one = || json!({ "a": { "type": "string" } });
    let two = |b: Value| json!({ "a": { "type": "string" }, "b": b });
    let number = || json!({ "type": "integer" });
    let with_default = || json!({ "type": "integer", "default": 0 });
    check([
        (
            "optional",
            closed(one(), json!(["a"])),
            closed(two(number()), json!(["a"])),
            &[],
        ),
        (
            "required",
            closed(one(), json!(["a"])),
            closed(two(number()), json!(["a", "b"])),
            &[Rule::RequiredPropertyAdded],
        ),
        (
            "required, with a default",
            closed(one(), json!(["a"])),
            closed(two(with_default()), json!(["a", "b"])),
            &[],
        ),
        (
            "the closed model is opened at once",
            closed(one(), json!(["a"])),
            open(two(number()), json!(["a"])),
            &[],
        ),
    ]);
}

#[test]
fn a_field_is_not_added_to_an_open_model_where_anything_may_stand_already() {
    let one = || open(json!({}), json!([]));
    let two = |b: Value| open(json!({ "b": b }), json!([]));
    check([
        (
            "typed",
            one(),
            two(json!({ "type": "integer" })),
            &[Rule::PropertyAddedToOpen],
        ),
        ("untyped", one(), two(json!({})), &[]),
        (
            "only described",
            one(),
            two(json!({ "description": "words" })),
            &[],
        ),
        ("true", one(), two(json!(true)), &[]),
    ]);
}

#[test]
fn a_field_is_removed_from_an_open_model_and_not_from_a_closed_one() {
    let field = || json!({ "b": { "type": "integer" } });
    check([
        (
            "open",
            open(field(), json!(["b"])),
            open(json!({}), json!([])),
            &[],
        ),
        (
            "closed",
            closed(field(), json!([])),
            closed(json!({}), json!([])),
            &[Rule::PropertyRemovedFromClosed],
        ),
        (
            "never written",
            closed(json!({ "b": false }), json!([])),
            closed(json!({}), json!([])),
            &[],
        ),
        (
            "an optional field of a closed model is not read by its old readers",
            closed(field(), json!([])),
            closed(json!({ "a": true }), json!([])),
            &[Rule::PropertyRemovedFromClosed],
        ),
    ]);
}

#[test]
fn a_partly_open_model_says_what_may_be_added_and_removed() {
    let texts = || json!({ "type": "string" });
    let partly =
        |properties: Value| with(open(properties, json!([])), "additionalProperties", texts());
    let by_pattern = |properties: Value| {
        let patterns = json!({ "^x-": texts() });
        with(closed(properties, json!([])), "patternProperties", patterns)
    };
    let integer = || json!({ "type": "integer" });
    check([
        (
            "added, covered",
            partly(json!({})),
            partly(json!({ "b": texts() })),
            &[],
        ),
        (
            "added, not covered",
            partly(json!({})),
            partly(json!({ "b": integer() })),
            &[Rule::PropertyAddedNotCovered],
        ),
        (
            "removed, covered",
            partly(json!({ "b": texts() })),
            partly(json!({})),
            &[],
        ),
        (
            "removed, not covered",
            partly(json!({ "b": integer() })),
            partly(json!({})),
            &[Rule::PropertyRemovedNotCovered],
        ),
        (
            "a name of the pattern",
            by_pattern(json!({})),
            by_pattern(json!({ "x-b": texts() })),
            &[],
        ),
        (
            "a name of the pattern, otherwise",
            by_pattern(json!({})),
            by_pattern(json!({ "x-b": integer() })),
            &[Rule::PropertyAddedNotCovered],
        ),
        (
            "another name",
            by_pattern(json!({})),
            by_pattern(json!({ "b": integer() })),
            &[],
        ),
        (
            "the pattern itself",
            closed(json!({}), json!([])),
            by_pattern(json!({})),
            &[],
        ),
        (
            "the pattern itself, taken away",
            by_pattern(json!({})),
            closed(json!({}), json!([])),
            &[Rule::TypeChanged],
        ),
    ]);
}

#[test]
fn further_fields_may_be_allowed_and_not_forbidden() {
    let object = || open(json!({}), json!([]));
    let fitting = |name: &str| with(object(), "additionalProperties", json!({ "type": name }));
    let shut = || closed(json!({}), json!([]));
    check([
        ("opened", shut(), object(), &[]),
        (
            "closed",
            object(),
            shut(),
            &[Rule::AdditionalPropertiesRemoved],
        ),
        (
            "narrowed",
            object(),
            fitting("string"),
            &[Rule::AdditionalPropertiesNarrowed],
        ),
        ("widened", fitting("integer"), fitting("number"), &[]),
        (
            "another type",
            fitting("string"),
            fitting("number"),
            &[Rule::TypeChanged],
        ),
    ]);
}

#[test]
fn a_field_may_become_optional_and_not_required_unless_it_has_a_default() {
    let fields = || json!({ "a": { "type": "string" } });
    let with_default = || json!({ "a": { "type": "string", "default": "" } });
    check([
        (
            "optional",
            closed(fields(), json!(["a"])),
            closed(fields(), json!([])),
            &[],
        ),
        (
            "required",
            closed(fields(), json!([])),
            closed(fields(), json!(["a"])),
            &[Rule::RequiredAdded],
        ),
        (
            "required, with a default",
            closed(fields(), json!([])),
            closed(with_default(), json!(["a"])),
            &[],
        ),
        (
            "required, never declared",
            open(json!({}), json!([])),
            open(json!({}), json!(["a"])),
            &[Rule::RequiredAdded],
        ),
    ]);
}
