//! One run as people read it: a line for each event of its history, and then the verdicts.
//!
//! It does not choose what matters: the harness says which rows are part of a witness. Nothing is wrapped or cut,
//! so that a line can be searched for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::{NameLine, name_lines};
use crate::figures::instant;
use crate::paragraph::{WIDTH, hang, listed, one_line, width, words};
use crate::verdict::VerdictWord;

/// One run, row by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// What this run is, in a line.
    pub title: String,
    /// The scenario that was run.
    pub scenario: String,
    /// The seed it was run with.
    #[serde(with = "crate::seed")]
    pub seed: u64,
    /// The digest of its history, in hexadecimal.
    pub digest: String,
    /// The hosts, in the order in which they are to be shown.
    pub hosts: Vec<String>,
    /// What happened, in the order of the history.
    pub rows: Vec<TimelineRow>,
    /// What became of each property.
    pub verdicts: Vec<VerdictLine>,
    /// What the names in the rows stand for.
    #[serde(default)]
    pub names: Vec<NameLine>,
}

/// One event of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// Its index in the history.
    pub index: u64,
    /// Its virtual time.
    pub at_ns: u64,
    /// The host at which it happened; empty if it concerns none.
    pub host: String,
    /// What sort of event it is.
    pub kind: RowKind,
    /// What happened, in a line.
    pub text: String,
    /// Whether it is part of a witness.
    pub emphasis: bool,
}

/// What sort of event a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    /// The workload asked for something, or was answered.
    Operation,
    /// A statement, a commit, or a state that a probe saw.
    Database,
    /// A publish, a delivery, a settlement, or an act of the broker itself.
    Broker,
    /// The nemesis acted, or lifted what it had done.
    Fault,
    /// A side effect outside the system: a charge, a mail.
    External,
    /// A line that a service logged.
    Log,
    /// A phase of the run began or ended.
    Run,
    /// A property was decided.
    Verdict,
}

impl fmt::Display for RowKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Operation => "operation",
            Self::Database => "database",
            Self::Broker => "broker",
            Self::Fault => "fault",
            Self::External => "external",
            Self::Log => "log",
            Self::Run => "run",
            Self::Verdict => "verdict",
        })
    }
}

/// What became of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictLine {
    /// The property, by its id.
    pub property: String,
    /// The verdict in a word.
    pub verdict: VerdictWord,
    /// Why, or on how much evidence.
    pub detail: String,
}

impl Timeline {
    /// The whole run as text, without a line break at its end.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_without(&[])
    }

    /// The run without the rows of these kinds, and with a line that says how many were left out. A row of a
    /// witness always stays.
    #[must_use]
    pub fn render_without(&self, elided: &[RowKind]) -> String {
        let elided: BTreeSet<RowKind> = elided.iter().copied().collect();
        let stays = |row: &&TimelineRow| row.emphasis || !elided.contains(&row.kind);
        let (shown, left_out): (Vec<_>, Vec<_>) = self.rows.iter().partition(stays);
        let mut lines = self.heading();
        lines.extend(rows(&shown));
        lines.push(String::new());
        lines.extend(legend(&shown));
        lines.extend(elision(&left_out));
        if lines.last().is_some_and(|line| !line.is_empty()) {
            lines.push(String::new());
        }
        lines.extend(self.verdict_lines());
        if !self.names.is_empty() {
            lines.push(String::new());
            lines.extend(name_lines("  ", &self.names));
        }
        lines.join("\n").trim_end().to_owned()
    }

    /// What this run is, and an empty line.
    fn heading(&self) -> Vec<String> {
        let mut lines = vec![one_line(&self.title)];
        lines.extend(hang("  scenario  ", &words(&self.scenario), WIDTH));
        lines.push(format!("  seed      {}", crate::seed::text(self.seed)));
        lines.push(format!("  digest    {}", one_line(&self.digest)));
        lines.extend(hang(
            "  hosts     ",
            &listed(self.hosts.iter().map(String::as_str)),
            WIDTH,
        ));
        lines.push(String::new());
        lines
    }

    /// A line for each property, the words lined up.
    fn verdict_lines(&self) -> Vec<String> {
        let columns = self
            .verdicts
            .iter()
            .map(|line| width(&one_line(&line.property)))
            .max()
            .unwrap_or(0);
        let mut lines = Vec::new();
        for VerdictLine {
            property,
            verdict,
            detail,
        } in &self.verdicts
        {
            let lead = format!("  {:<columns$}  {verdict:<7}  ", one_line(property));
            lines.extend(hang(&lead, &words(detail), WIDTH));
        }
        lines
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render())
    }
}

/// The rows in columns: mark of a witness, time, index, host, mark of a fault, text.
pub(crate) fn rows(shown: &[&TimelineRow]) -> Vec<String> {
    let widest = |of: &dyn Fn(&TimelineRow) -> String| {
        shown.iter().map(|row| width(&of(row))).max().unwrap_or(0)
    };
    let times = widest(&time);
    let indexes = widest(&|row| format!("#{}", row.index));
    let hosts = widest(&|row| one_line(&row.host));
    let row_line = |row: &&TimelineRow| {
        let witness = if row.emphasis { '>' } else { ' ' };
        let fault = if row.kind == RowKind::Fault { '!' } else { ' ' };
        let (time, index) = (time(row), format!("#{}", row.index));
        let (host, text) = (one_line(&row.host), one_line(&row.text));
        let line =
            format!("{witness} {time:>times$}  {index:>indexes$}  {host:<hosts$}  {fault} {text}");
        line.trim_end().to_owned()
    };
    shown.iter().map(row_line).collect()
}

/// When it happened. Cut to milliseconds, since rounding could show a time that had not come yet.
fn time(row: &TimelineRow) -> String {
    instant(row.at_ns / 1_000_000)
}

/// What the marks mean, as far as there are any.
fn legend(shown: &[&TimelineRow]) -> Option<String> {
    let witness = shown
        .iter()
        .any(|row| row.emphasis)
        .then_some("> part of a witness");
    let fault = shown
        .iter()
        .any(|row| row.kind == RowKind::Fault)
        .then_some("! fault");
    let marks: Vec<&str> = witness.into_iter().chain(fault).collect();
    (!marks.is_empty()).then(|| format!("  {}", marks.join("   ")))
}

/// How many rows of which kinds are not shown.
fn elision(left_out: &[&TimelineRow]) -> Option<String> {
    let mut counts: BTreeMap<RowKind, u64> = BTreeMap::new();
    for row in left_out {
        *counts.entry(row.kind).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    (!counts.is_empty()).then(|| format!("  rows left out: {}", counts.join(", ")))
}
