//! A sweep's sums, and its renderings for people.

use stormglass_reports::{
    FailureReport, PropertyCount, ScenarioReport, SweepReport, VerdictWord, markdown, sweep_page,
    terminal,
};

use crate::samples;

#[test]
fn a_green_sweep_in_a_terminal() {
    insta::assert_snapshot!(terminal::render(&samples::green_sweep(), terminal::WIDTH));
}

#[test]
fn a_broken_sweep_in_a_terminal() {
    insta::assert_snapshot!(terminal::render(&samples::broken_sweep(), terminal::WIDTH));
}

#[test]
fn a_green_sweep_in_a_narrow_terminal() {
    insta::assert_snapshot!(terminal::render(&samples::green_sweep(), 80));
}

#[test]
fn a_broken_sweep_in_markdown() {
    insta::assert_snapshot!(markdown::render(&samples::broken_sweep()));
}

#[test]
fn an_inconclusive_sweep_says_what_was_never_in_danger() {
    let mut sweep = samples::green_sweep();
    let vacuous = PropertyCount {
        vacuous: 50,
        ..PropertyCount::default()
    };
    sweep.scenarios[0]
        .properties
        .insert("dlq-routing".to_owned(), vacuous);
    assert_eq!(sweep.vacuous(), [("calm", "dlq-routing")]);
    assert_eq!(sweep.verdict(), VerdictWord::Vacuous);
    let text = terminal::render(&sweep, terminal::WIDTH);
    let verdict =
        " verdict  inconclusive: nothing occurred that could have broken dlq-routing in calm\n";
    assert!(text.ends_with(verdict), "{text}");
}

#[test]
fn the_table_keeps_to_its_width_and_parts_no_name_from_its_figures() {
    for width in 80..200 {
        let text = terminal::render(&samples::green_sweep(), width);
        for line in text.lines() {
            assert!(
                line.chars().count() <= usize::from(width),
                "{width}: {line}"
            );
            assert_eq!(line.trim_end(), line);
        }
        let narrow = [
            "everything-at-once ",
            "commit-answer-lost",
            "holds/broken/vacuous",
        ];
        // Below a hundred columns there is no room for two such items side by side.
        let wide = [
            "commit-answer-lost 97/61,",
            "dlq-routing 38/0/212 ≤7.9%,",
            "money-and-stock 250/0/0 ≤1.2%,",
        ];
        for item in narrow.iter().chain(wide.iter().filter(|_| width >= 100)) {
            assert!(text.contains(item), "{width}: {item} in\n{text}");
        }
    }
}

#[test]
fn a_sweep_adds_up() {
    let sweep = samples::broken_sweep();
    assert_eq!(sweep.seeds_total(), 500);
    assert_eq!(sweep.virtual_ms_total(), 354_000_000);
    assert_eq!(
        (sweep.faults_total().planned, sweep.faults_total().bitten),
        (2682, 2104)
    );
    assert_eq!(
        sweep.broken(),
        [
            ("relay-crashes", "convergence"),
            ("relay-crashes", "no-lost-event")
        ]
    );
    assert_eq!(sweep.vacuous(), [("calm", "dlq-routing")]);
    assert_eq!(sweep.failures().count(), 1);
    // Of the fifteen kinds only the latency spikes made no difference.
    assert_eq!(sweep.fault_kinds_bitten().len(), 14);
    assert!(!sweep.fault_kinds_bitten().contains("latency-spike"));
}

#[test]
fn a_failure_rate_is_given_only_for_what_did_not_fail() {
    let rate = samples::green_sweep().failure_rate_max().expect("green");
    assert_eq!(
        rate.to_string(),
        "7.9%",
        "the property that the fewest seeds put to the test decides"
    );
    assert_eq!(samples::broken_sweep().failure_rate_max(), None);
    assert_eq!(
        samples::broken_sweep().scenarios[1].failure_rate_max(),
        None
    );
}

#[test]
fn nothing_shown_is_never_success() {
    let empty = SweepReport {
        scenarios: Vec::new(),
        ..samples::green_sweep()
    };
    assert_eq!(empty.verdict(), VerdictWord::Vacuous);
    assert_eq!(empty.failure_rate_max(), None);
    assert_eq!(ScenarioReport::default().verdict(), VerdictWord::Vacuous);
    assert_eq!(PropertyCount::default().verdict(), VerdictWord::Vacuous);
    assert!(
        !PropertyCount::default().is_vacuous(),
        "no seed ran, so none was vacuous"
    );
    let text = terminal::render(&empty, terminal::WIDTH);
    assert!(
        text.contains("inconclusive: not every scenario ran far enough"),
        "{text}"
    );
}

#[test]
fn the_worst_that_happened_is_the_verdict() {
    assert_eq!(samples::green_sweep().verdict(), VerdictWord::Holds);
    assert_eq!(samples::broken_sweep().verdict(), VerdictWord::Broken);
    let both = PropertyCount {
        holds: 9,
        broken: 1,
        vacuous: 9,
    };
    assert_eq!(both.verdict(), VerdictWord::Broken);
    let failed = ScenarioReport {
        failures: vec![FailureReport::default()],
        ..samples::green_sweep().scenarios[0].clone()
    };
    assert_eq!(failed.verdict(), VerdictWord::Broken);
}

#[test]
fn a_broken_sweep_as_a_page() {
    let page = sweep_page::render(&samples::broken_sweep());
    assert_eq!(page, sweep_page::render(&samples::broken_sweep()));
    // The style is the same for all pages and says nothing of the sweep.
    let (_, body) = page.split_once("<body>").expect("a page has a body");
    insta::assert_snapshot!(body.replace("><", ">\n<"));
}
