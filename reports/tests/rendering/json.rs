//! The JSON document: nothing is lost on the way, and a newer one is refused.

use serde_json::{Value, json};
use stormglass_reports::json::{ReadError, read, write};
use stormglass_reports::{FailureReport, SweepReport, Timeline};

use crate::samples;

/// The sample's document with one field set to something else.
fn document_with(field: &str, value: Value) -> String {
    let mut document: Value =
        serde_json::from_str(&write(&samples::broken_sweep())).expect("a document");
    document[field] = value;
    document.to_string()
}

#[test]
fn a_report_survives_its_document() {
    for mut report in [samples::green_sweep(), samples::broken_sweep()] {
        // This seed would come back as another one if it were a number in JavaScript.
        report.first_seed = u64::MAX;
        assert_eq!(read(&write(&report)).expect("readable"), report);
    }
    let timeline = samples::timeline();
    let text = serde_json::to_string(&timeline).expect("plain data");
    assert_eq!(
        serde_json::from_str::<Timeline>(&text).expect("readable"),
        timeline
    );
    let failure = samples::long_failure();
    let text = serde_json::to_string(&failure).expect("plain data");
    assert_eq!(
        serde_json::from_str::<FailureReport>(&text).expect("readable"),
        failure
    );
}

#[test]
fn the_document_reads_like_this() {
    insta::assert_snapshot!(write(&samples::broken_sweep()));
}

#[test]
fn seeds_are_text() {
    let document: Value =
        serde_json::from_str(&write(&samples::broken_sweep())).expect("a document");
    assert_eq!(document["first_seed"], json!("0x00000001"));
    assert_eq!(
        document["scenarios"][1]["failures"][0]["seed"],
        json!("0x5eed04d2")
    );
}

#[test]
fn a_newer_version_is_refused_by_name() {
    for newer in [u64::from(SweepReport::VERSION) + 1, u64::MAX] {
        let error = read(&document_with("version", json!(newer))).expect_err("newer");
        assert!(
            matches!(error, ReadError::Newer { found, newest: SweepReport::VERSION } if found == newer)
        );
        assert!(error.to_string().starts_with(&format!(
            "it has version {newer}, and this stormglass reads up to"
        )));
    }
}

#[test]
fn a_newer_version_is_refused_even_if_its_shape_is_unknown() {
    let error = read(r#"{"version": 99, "something": "else"}"#).expect_err("newer");
    assert!(
        matches!(error, ReadError::Newer { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn an_older_version_is_brought_up_to_date() {
    let report = read(&document_with("version", json!(0))).expect("older");
    assert_eq!(report, samples::broken_sweep());
}

#[test]
fn fields_that_nobody_knows_are_skipped() {
    let report = read(&document_with("colour", json!("green"))).expect("readable");
    assert_eq!(report, samples::broken_sweep());
}

#[test]
fn other_documents_are_refused_with_their_reason() {
    let whole = write(&samples::broken_sweep());
    let check = |text: &str, expected: &str| {
        let error = read(text).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    };
    check("", "it is not a whole JSON document: ");
    check(
        &whole[..whole.len() / 2],
        "it is not a whole JSON document: ",
    );
    check("[1, 2]", "it is not a sweep report: ");
    check("{}", "it is not a sweep report: it has no version");
    check(r#"{"version": "one"}"#, "it is not a sweep report: ");
    check(
        r#"{"version": 1, "plan": {}}"#,
        "it is not a sweep report: missing field",
    );
    check(
        &document_with("first_seed", json!(17)),
        "it is not a sweep report: ",
    );
    check(
        &document_with("database", json!("oracle")),
        "it is not a sweep report: ",
    );
}
