//! The comparison for a terminal: answers, and the matrix of losses.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use super::answers::answers;
use super::{Cell, Comparison};
use crate::paragraph::{WIDTH, hang, words};

const LIGHT: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

pub(super) fn render(comparison: &Comparison) -> String {
    let mut lines = vec![format!(
        "{} patterns under {} sets of faults, {} seeds each, {} orders a seed{}",
        comparison.patterns.len(),
        comparison.faults.len(),
        comparison.seeds,
        comparison.orders,
        if comparison.interrupted {
            " (interrupted)"
        } else {
            ""
        },
    )];
    for answer in answers(comparison) {
        lines.push(String::new());
        lines.push(answer.need.to_owned());
        lines.extend(hang("  ", &words(&answer.text), WIDTH));
    }
    lines.push(String::new());
    lines.push("Orders lost, of those accepted (seeds that lost any)".to_owned());
    lines.extend(matrix(comparison, lost));
    lines.push(String::new());
    lines.push("Time to the effect in ms: half of them, 99% of them".to_owned());
    lines.extend(matrix(comparison, effect));
    lines.join("\n") + "\n"
}

fn lost(cell: &Cell) -> String {
    let Cell {
        orders_lost,
        accepted,
        ..
    } = cell;
    match orders_lost.total {
        _ if !cell.is_met() => "not met".to_owned(),
        0 => format!("0/{accepted}"),
        total => format!("{total}/{accepted} ({})", orders_lost.seeds),
    }
}

fn effect(cell: &Cell) -> String {
    let told = |time: Option<u64>| time.map_or("never".to_owned(), |ms| ms.to_string());
    format!("{} {}", told(cell.effect.p500), told(cell.effect.p990))
}

/// A row for each set of faults, a column for each pattern.
fn matrix(comparison: &Comparison, told: fn(&Cell) -> String) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(LIGHT)
        .set_width(u16::try_from(WIDTH).unwrap_or(u16::MAX))
        .set_content_arrangement(ContentArrangement::Dynamic);
    let names = comparison.patterns.iter().map(|own| own.name.clone());
    table.set_header([String::new()].into_iter().chain(names.clone()));
    for faults in &comparison.faults {
        let cells = names.clone().map(|pattern| {
            let cell = comparison.cell(&pattern, &faults.name);
            cell.map_or_else(String::new, told)
        });
        table.add_row([faults.name.clone()].into_iter().chain(cells));
    }
    let text = table.trim_fmt();
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}
