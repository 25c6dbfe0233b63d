//! A sweep as people see it in a terminal: a table, what it comes to, and the failures.
//!
//! It writes no colour and asks nothing of the terminal: the caller says how wide it is, and equal reports of equal
//! width are equal texts.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::failure_rate::FailureRate;
use crate::paragraph::{
    WIDTH as WIDTH_FAILURE, fill, hang, listed, one_line, width as columns_of, words,
};
use crate::sweep::{FaultCount, PropertyCount, ScenarioReport, SweepReport};
use crate::totals;
use crate::verdict::VerdictWord;

/// The columns to render for where there is no terminal: a file, a pipe, a CI log.
pub const WIDTH: u16 = 120;

/// Below this the table would be a column of single words; a narrower terminal breaks the lines instead.
const WIDTH_MIN: u16 = 80;

/// A line under the heading and between scenarios, and no other.
const LIGHT: TableStyle = TableStyle::new()
    .header_separator(LineStyle::none().fill('─'))
    .row_separator(LineStyle::none().fill('╌'));

/// The sweep as text for a terminal of `width` columns (at least 80), with a line break at its end. The texts of
/// failures keep to 100 columns whatever the width.
#[must_use]
pub fn render(report: &SweepReport, width: u16) -> String {
    let width = width.max(WIDTH_MIN);
    let mut lines = table(report, width);
    lines.push(String::new());
    for totals::Sentence { label, text } in totals::sentences(report) {
        lines.extend(hang(
            &format!(" {label:<7}  "),
            &words(&text),
            usize::from(width),
        ));
    }
    for scenario in &report.scenarios {
        for failure in scenario.told() {
            lines.push(String::new());
            lines.push(format!(
                "{}: {}",
                one_line(&scenario.name),
                one_line(&scenario.promise)
            ));
            lines.push(failure.render());
        }
        for signature in &scenario.signatures {
            lines.extend(hang(
                "  alike   ",
                &words(&signature.to_string()),
                WIDTH_FAILURE,
            ));
        }
    }
    lines.join("\n") + "\n"
}

/// The table's lines, without trailing spaces.
fn table(report: &SweepReport, width: u16) -> Vec<String> {
    let cells = Cells::of(report, width);
    let mut table = Table::new();
    table
        .load_style(LIGHT)
        .set_width(width)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "scenario".to_owned(),
        "seeds".to_owned(),
        "verdict".to_owned(),
        cells.faults_heading(),
        cells.properties_heading(),
    ]);
    for scenario in &report.scenarios {
        table.add_row([
            one_line(&scenario.name),
            scenario.seeds.to_string(),
            scenario.verdict().to_string(),
            list(fault_items(scenario), cells.faults),
            list(property_items(scenario), cells.properties),
        ]);
    }
    if let Some(seeds) = table.column_mut(1) {
        seeds.set_cell_alignment(CellAlignment::Right);
    }
    table
        .trim_fmt()
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// The widths of the two cells that are filled with lists. They are broken here and not by the table, which would
/// part a name from its figures.
struct Cells {
    /// Columns for the faults.
    faults: usize,
    /// Columns for the properties.
    properties: usize,
}

impl Cells {
    /// What the narrow columns leave: two parts to the faults and three to the properties, but to each at least its
    /// longest item, or its longest word, as far as there is room.
    fn of(report: &SweepReport, width: u16) -> Self {
        const PADDING: usize = 5 * 2;
        let scenarios = || report.scenarios.iter();
        let names = scenarios().map(|scenario| one_line(&scenario.name));
        let seeds = scenarios().map(|scenario| scenario.seeds.to_string());
        let narrow = widest("scenario", names) + widest("seeds", seeds) + "verdict".len();
        let left = usize::from(width).saturating_sub(narrow + PADDING);
        let faults: Vec<String> = scenarios().flat_map(fault_items).collect();
        let properties: Vec<String> = scenarios().flat_map(property_items).collect();
        let whole = (
            widest("", faults.iter().cloned()) + 1,
            widest("", properties.iter().cloned()) + 1,
        );
        let by_word = |items: &[String]| widest("", items.iter().flat_map(|item| words(item)));
        let broken = (
            by_word(&faults).max("planned/bitten".len()),
            by_word(&properties).max("holds/broken/vacuous".len()),
        );
        let (faults_min, properties_min) = if whole.0 + whole.1 <= left {
            whole
        } else {
            broken
        };
        let faults = (left * 2 / 5)
            .max(faults_min)
            .min(left.saturating_sub(properties_min).max(left / 4));
        Self {
            faults,
            properties: left - faults,
        }
    }

    fn faults_heading(&self) -> String {
        fill(&words("faults planned/bitten"), self.faults).join("\n")
    }

    fn properties_heading(&self) -> String {
        fill(
            &words("properties holds/broken/vacuous ≤failure rate"),
            self.properties,
        )
        .join("\n")
    }
}

/// `crash 120/96`, for each kind.
fn fault_items(scenario: &ScenarioReport) -> Vec<String> {
    let item = |(kind, count): (&String, &FaultCount)| {
        format!("{kind} {}/{}", count.planned, count.bitten)
    };
    scenario.faults.iter().map(item).collect()
}

/// `effect-once 50/0/0 ≤6%`, for each property; those that do not hold come first, with the word.
fn property_items(scenario: &ScenarioReport) -> Vec<String> {
    let (hold, rest): (Vec<_>, Vec<_>) = scenario
        .properties
        .iter()
        .partition(|(_, count)| count.verdict() == VerdictWord::Holds);
    let item = |(property, count): (&String, &PropertyCount)| {
        let PropertyCount {
            holds,
            broken,
            vacuous,
        } = count;
        let rate = FailureRate::of(*count).map(|rate| format!(" ≤{rate}"));
        format!(
            "{property} {holds}/{broken}/{vacuous}{}",
            rate.unwrap_or_default()
        )
    };
    let rest = rest
        .into_iter()
        .map(|(property, count)| format!("{} ({})", item((property, count)), count.verdict()));
    rest.chain(hold.into_iter().map(item)).collect()
}

/// The columns of the widest text.
fn widest(heading: &str, texts: impl Iterator<Item = String>) -> usize {
    texts
        .map(|text| columns_of(&text))
        .fold(columns_of(heading), usize::max)
}

/// Items that stay whole where they can, as many to a line as fit.
fn list(items: Vec<String>, columns: usize) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    fill(&listed(items.iter().map(String::as_str)), columns).join("\n")
}
