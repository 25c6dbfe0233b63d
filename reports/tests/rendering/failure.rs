//! The text of a failure.

use stormglass_reports::{CauseLine, FailureReport};

use crate::samples;

#[test]
fn a_failure_tells_its_minimal_story() {
    insta::assert_snapshot!(samples::lost_order());
}

#[test]
fn long_and_hostile_texts_keep_the_layout() {
    insta::assert_snapshot!(samples::long_failure());
}

#[test]
fn a_failure_that_was_not_shrunk_says_so_and_stays_short() {
    insta::assert_snapshot!(samples::bare_failure());
}

#[test]
fn a_cause_is_called_minimal_only_if_each_removal_was_tried() {
    let minimal = samples::lost_order();
    assert!(
        minimal
            .render()
            .contains("minimal cause: 2 of 37 faults, 1 of 20 operations (214 runs, 1.9 s)")
    );
    let stopped = FailureReport {
        one_minimal: false,
        ..minimal
    };
    let text = stopped.render();
    assert!(text.contains("smallest cause found: 2 of 37"), "{text}");
    assert!(
        !text.contains("minimal") && !text.contains("without"),
        "{text}"
    );
}

#[test]
fn what_was_removed_and_tried_is_worded_for_how_much_is_left() {
    let check = |outcomes: &[&str], expected: &str| {
        let faults = outcomes.iter().zip(0..);
        let faults = faults
            .map(|(outcome, n)| CauseLine::at(n, "crash relay").and_without(Some(outcome)))
            .collect();
        let report = FailureReport {
            faults,
            operations: Vec::new(),
            ..samples::lost_order()
        };
        let text = report.render();
        assert!(
            text.lines().any(|line| line.trim() == expected),
            "no line `{expected}` in\n{text}"
        );
    };
    check(&[], "it takes no fault and no operation");
    check(&["holds"], "without the fault: holds");
    check(&["holds", "holds"], "without either fault: holds");
    check(&["holds"; 3], "without any one of the faults: holds");
    check(
        &["holds", "never tested", "holds"],
        "without the fault at 0.000 s or 0.002 s: holds; without the fault at 0.001 s: never tested",
    );
}

#[test]
fn a_cause_that_takes_several_instances_or_luck_says_so() {
    let report = FailureReport {
        instances: [("order".to_owned(), 2), ("relay".to_owned(), 3)].into(),
        chance: 4,
        ..samples::lost_order()
    };
    let text = report.render();
    assert!(
        text.contains("\n    at chance 4 of the seed\n    with 2 of order, 3 of relay\n"),
        "{text}"
    );
}

#[test]
fn only_what_must_be_copied_is_wider_than_a_page() {
    for report in [
        samples::lost_order(),
        samples::long_failure(),
        samples::bare_failure(),
    ] {
        for line in report.render().lines() {
            let may_be_wide = line.starts_with("  replay  ") || line.starts_with("  saved   ");
            assert!(
                may_be_wide || line.chars().count() <= 100,
                "too wide: {line}"
            );
            assert_eq!(line.trim_end(), line);
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}

#[test]
fn the_command_stays_on_one_line() {
    let report = FailureReport {
        replay_command: "stormglass replay ".to_owned() + &"x".repeat(200),
        ..samples::lost_order()
    };
    let text = report.render();
    assert!(
        text.lines()
            .any(|line| line == format!("  replay  {}", report.replay_command)),
        "{text}"
    );
}

#[test]
fn what_is_too_much_to_show_is_counted_and_faults_stay() {
    let line = |n: u64| CauseLine::at(n, format!("place order-{n}"));
    let report = FailureReport {
        faults: vec![CauseLine::at(9_000, "crash relay")],
        operations: (0..100).map(line).collect(),
        error: Some("at ledger.rs\n".repeat(50)),
        ..samples::lost_order()
    };
    let text = report.render();
    assert!(
        text.contains("  ! 9.000 s  crash relay\n    ... and 77 more\n"),
        "{text}"
    );
    assert!(
        text.contains("\n          ... and 30 lines more\n"),
        "{text}"
    );
    assert!(text.lines().count() < 60, "{text}");
}
