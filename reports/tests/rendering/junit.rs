//! JUnit's XML: what a CI system is shown of a broken sweep.

use stormglass_reports::junit;

use crate::samples;

#[test]
fn a_broken_sweep_in_junit() {
    insta::assert_snapshot!(junit::render(&samples::broken_sweep()));
}

#[test]
fn hostile_texts_stay_texts() {
    let mut sweep = samples::broken_sweep();
    sweep.scenarios[1].failures[0].promise_broken =
        "]]></failure><b a=\"\u{0}\u{1b}[31m".to_owned();
    let document = junit::render(&sweep);
    assert!(!document.contains("<b "), "{document}");
    assert!(!document.contains(['\u{0}', '\u{1b}']), "{document}");
}
