//! The way of one entity through a run, as people read it: an event below the one that caused it, each with what became of it.
//!
//! It does not choose what belongs to the way, and does not know what should have happened: the harness says both.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::{NameLine, name_lines};
use crate::paragraph::{WIDTH, hang, one_line, words};
use crate::timeline::{TimelineRow, rows};

/// The way of one entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journey {
    /// Whose way it is.
    pub entity: String,
    /// The scenario that was run.
    pub scenario: String,
    /// The seed it was run with.
    #[serde(with = "crate::seed")]
    pub seed: u64,
    /// The events, each behind the one that caused it.
    pub hops: Vec<Hop>,
    /// Where it did not go on, in a sentence each; empty where everything arrived.
    pub failures: Vec<String>,
    /// What the names stand for.
    pub names: Vec<NameLine>,
}

/// One event of the way, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// How many events caused one another until it came to this one.
    pub depth: u64,
    /// What it is, in a few words.
    pub title: String,
    /// What became of it, in the order of the history.
    pub rows: Vec<TimelineRow>,
}

impl Hop {
    fn lines(&self) -> Vec<String> {
        let indent = "  ".repeat(usize::try_from(self.depth).unwrap_or_default());
        let shown: Vec<&TimelineRow> = self.rows.iter().collect();
        let heading = format!("{indent}{}", one_line(&self.title));
        let rows = rows(&shown).into_iter().map(|row| format!("{indent}{row}"));
        [heading].into_iter().chain(rows).collect()
    }
}

impl Journey {
    /// The whole way as text, without a line break at its end.
    #[must_use]
    pub fn render(&self) -> String {
        let mut lines = vec![
            format!("the way of {}", one_line(&self.entity)),
            format!("  scenario  {}", one_line(&self.scenario)),
            format!("  seed      {}", crate::seed::text(self.seed)),
        ];
        for hop in &self.hops {
            lines.push(String::new());
            lines.extend(hop.lines());
        }
        lines.push(String::new());
        match self.failures.is_empty() {
            true => lines.push("  every event arrived wherever it had to".to_owned()),
            false => {
                let failures = self.failures.iter();
                lines.extend(
                    failures.flat_map(|own| hang("  where it broke: ", &words(own), WIDTH)),
                );
            }
        }
        if !self.names.is_empty() {
            lines.push(String::new());
            lines.extend(name_lines("  ", &self.names));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Journey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render())
    }
}
