//! `stormglass list`: what there is to run.

use super::output::{say, width};
use super::{CliError, Outcome};
use crate::catalogue::{CATALOGUE, Scenario};

/// The column in which texts begin.
const INDENT: usize = 14;

/// Prints every scenario.
pub(super) fn list() -> Result<Outcome, CliError> {
    let scenarios: Vec<String> = CATALOGUE.iter().map(described).collect();
    say(&scenarios.join("\n"))?;
    Ok(Outcome::Holds)
}

fn described(scenario: &Scenario) -> String {
    let system = scenario.system();
    let properties: Vec<&str> = system
        .properties()
        .iter()
        .map(|property| property.id())
        .collect();
    let faults: Vec<&str> = system
        .fault_kinds()
        .iter()
        .map(|kind| kind.name())
        .collect();
    let faults = if faults.is_empty() {
        "none".to_owned()
    } else {
        faults.join(", ")
    };
    [
        format!("{}\n", scenario.name),
        labelled("promise", scenario.promise),
        labelled("broker", scenario.broker.name()),
        labelled("faults", &faults),
        labelled("properties", &properties.join(", ")),
    ]
    .concat()
}

/// A label and a text, broken between words.
fn labelled(label: &str, text: &str) -> String {
    let columns = usize::from(width()).max(2 * INDENT);
    let mut lines = format!("  {label:<width$}", width = INDENT - 2);
    let mut used = INDENT;
    for (number, word) in text.split(' ').enumerate() {
        if number > 0 && used + 1 + word.len() > columns {
            lines += &format!("\n{:INDENT$}", "");
            used = INDENT;
        } else if number > 0 {
            lines.push(' ');
            used += 1;
        }
        lines += word;
        used += word.len();
    }
    lines + "\n"
}
