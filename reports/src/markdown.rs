//! A sweep as a Markdown document, for a file that is kept or shown by a code host.
//!
//! It keeps to what GitHub's dialect renders, and names nothing that could not be in a public log.

use crate::failure_rate::FailureRate;
use crate::paragraph::one_line;
use crate::sweep::{PropertyCount, ScenarioReport, SweepReport};
use crate::totals;

/// The sweep as a Markdown document with a line break at its end.
#[must_use]
pub fn render(report: &SweepReport) -> String {
    let mut blocks = vec![
        format!("# Stormglass sweep: {}", report.verdict()),
        facts(report),
        table(report),
    ];
    for scenario in &report.scenarios {
        for failure in scenario.told() {
            let (name, property) = (escaped(&scenario.name), escaped(&failure.property));
            let seed = crate::seed::text(failure.seed);
            blocks.push(format!("## {name}: {property} broken by seed {seed}"));
            blocks.push(fenced(&failure.render()));
        }
        let alike = scenario.signatures.iter();
        let alike: Vec<String> = alike
            .map(|signature| format!("- {}", escaped(&signature.to_string())))
            .collect();
        if !alike.is_empty() {
            blocks.push(alike.join("\n"));
        }
    }
    blocks.join("\n\n") + "\n"
}

/// What it comes to, as a list.
fn facts(report: &SweepReport) -> String {
    let items = totals::sentences(report).into_iter();
    let lines: Vec<String> = items
        .map(|sentence| format!("- **{}:** {}", sentence.label, escaped(&sentence.text)))
        .collect();
    lines.join("\n")
}

/// A row for each scenario.
fn table(report: &SweepReport) -> String {
    let mut lines = vec![
        "| scenario | promise | seeds | verdict | faults planned/bitten | properties holds/broken/vacuous ≤failure rate |".to_owned(),
        "|---|---|---:|---|---|---|".to_owned(),
    ];
    lines.extend(report.scenarios.iter().map(row));
    lines.join("\n")
}

fn row(scenario: &ScenarioReport) -> String {
    let faults = scenario
        .faults
        .iter()
        .map(|(kind, count)| format!("{kind} {}/{}", count.planned, count.bitten));
    let properties = scenario.properties.iter().map(|(property, count)| {
        let PropertyCount {
            holds,
            broken,
            vacuous,
        } = count;
        let rate = FailureRate::of(*count).map(|rate| format!(" ≤{rate}"));
        let rate = rate.unwrap_or_default();
        let figures = format!("{property} {holds}/{broken}/{vacuous}{rate}");
        // There is no other way to find the broken one at a glance in a long cell.
        if *broken > 0 {
            format!("**{}**", escaped(&figures))
        } else {
            escaped(&figures)
        }
    });
    format!(
        "| {} | {} | {} | {} | {} | {} |",
        escaped(&scenario.name),
        escaped(&scenario.promise),
        scenario.seeds,
        scenario.verdict(),
        cell(faults.map(|item| escaped(&item))),
        cell(properties),
    )
}

/// One item to a line.
fn cell(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join("<br>")
    }
}

/// The text on one line with what Markdown would take for markup escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in one_line(text).chars() {
        if matches!(character, '\\' | '|' | '*' | '`' | '<' | '[') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The text as a block that is shown as it is, whatever back quotes it contains.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::{escaped, fenced};

    #[test]
    fn markup_in_a_name_stays_text() {
        assert_eq!(escaped("a|b\n*c* <d>"), r"a\|b \*c\* \<d>");
    }

    #[test]
    fn a_block_is_not_ended_by_its_own_text() {
        assert_eq!(fenced("a\n````\nb"), "`````text\na\n````\nb\n`````");
        assert_eq!(fenced("a"), "```text\na\n```");
    }
}
