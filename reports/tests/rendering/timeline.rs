//! The text of a timeline.

use stormglass_reports::RowKind;

use crate::samples;

#[test]
fn a_run_reads_as_a_timeline() {
    insta::assert_snapshot!(samples::timeline());
}

#[test]
fn a_timeline_without_the_services_own_words() {
    let kinds = [RowKind::Log, RowKind::Database];
    insta::assert_snapshot!(samples::timeline().render_without(&kinds));
}

#[test]
fn a_witness_row_is_never_left_out() {
    let kinds = [
        RowKind::Operation,
        RowKind::Database,
        RowKind::Broker,
        RowKind::Fault,
        RowKind::External,
        RowKind::Log,
        RowKind::Run,
        RowKind::Verdict,
    ];
    let text = samples::timeline().render_without(&kinds);
    assert_eq!(
        text.lines().filter(|line| line.starts_with("> ")).count(),
        3,
        "{text}"
    );
    assert_eq!(
        text.lines()
            .filter(|line| line.contains(" s  ") && line.contains('#'))
            .count(),
        3,
        "{text}"
    );
}

#[test]
fn every_row_is_one_line_without_trailing_spaces() {
    let timeline = samples::timeline();
    let text = timeline.render();
    for row in &timeline.rows {
        let index = format!("#{}  ", row.index);
        assert_eq!(
            text.lines().filter(|line| line.contains(&index)).count(),
            1,
            "{text}"
        );
    }
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
}
