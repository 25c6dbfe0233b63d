//! What a failure says: the promise that was broken, when, the minimal cause, and one command that replays it.
//!
//! The text is complete in itself, because `cargo test`, other runners and CI logs show nothing else. It does not
//! say how sure one may be that the cause is the only one: another cause may break the same property.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::{instant, wall_time};
use crate::paragraph::{WIDTH, hang, listed, one_line, width, words};

/// One property that one run broke, with what is left of the run's plan after shrinking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// The test or scenario that failed.
    pub test: String,
    /// The property that was broken, by its id.
    pub property: String,
    /// The seed whose plan failed, before shrinking.
    #[serde(with = "crate::seed")]
    pub seed: u64,
    /// What happened against the promise, in one sentence that names the entities.
    pub promise_broken: String,
    /// The virtual time at which it was broken, if it was at one moment.
    pub at_ms: Option<u64>,
    /// The index in the history of the event that broke it.
    pub index: Option<u64>,
    /// The index in the history from which nothing could have averted it.
    pub inevitable_from: Option<u64>,
    /// The faults that are left.
    pub faults: Vec<CauseLine>,
    /// How many faults the seed had planned.
    pub faults_planned: u64,
    /// The operations that are left.
    pub operations: Vec<CauseLine>,
    /// How many operations the seed had planned.
    pub operations_planned: u64,
    /// The services that more than one instance is left of, and how many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, u64>,
    /// Which of the seed's chances the cause was found at; 0 for the one that the seed has by itself.
    #[serde(default)]
    pub chance: u32,
    /// How many runs the shrinking took; 0 if nothing was shrunk.
    pub shrink_runs: u64,
    /// How long the shrinking took on the wall clock.
    pub shrink_ms: u64,
    /// Whether the removal of each single fault and operation that is left was tried, and then nothing was broken.
    pub one_minimal: bool,
    /// The witness as a chain of what led to what, each link a few words.
    pub chain: Vec<String>,
    /// What the names in the texts stand for.
    #[serde(default)]
    pub names: Vec<NameLine>,
    /// The digest of the shrunk run's history, in hexadecimal.
    pub digest: String,
    /// Where the artefact was written, if it was.
    pub artefact: Option<String>,
    /// Where the artefact belongs if it is to be replayed with the tests from now on.
    pub keep_as: Option<String>,
    /// One shell command that replays the shrunk run.
    pub replay_command: String,
    /// Where the page is that tells the failure's story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
    /// The other properties that the same run broke.
    pub others: Vec<String>,
    /// What to think of before the failure is believed, such as that the run ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What a host died of, or the like, if that belongs to the failure. It may have several lines.
    pub error: Option<String>,
}

/// One fault or operation of a cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseLine {
    /// The virtual time at which it happened; `None` for a fault that aims at an operation which never came.
    pub at_ms: Option<u64>,
    /// What it was, in a few words: `crash relay`.
    pub what: String,
    /// Where exactly, if that needs saying: `after it read the outbox, before it marked rows as sent`.
    pub detail: Option<String>,
    /// What came of the run without it, if that was tried: `holds`.
    #[serde(default)]
    pub without: Option<String>,
}

impl CauseLine {
    /// Something that happened at a virtual time.
    #[must_use]
    pub fn at(at_ms: u64, what: impl Into<String>) -> Self {
        Self {
            at_ms: Some(at_ms),
            what: what.into(),
            ..Self::default()
        }
    }

    /// Something that has no time.
    #[must_use]
    pub fn untimed(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ..Self::default()
        }
    }

    /// The same with its detail, which is shown in a column of its own.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// The same with what came of the run without it.
    #[must_use]
    pub fn and_without(self, without: Option<&str>) -> Self {
        Self {
            without: without.map(str::to_owned),
            ..self
        }
    }
}

/// A readable name that stands for an id in the texts of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameLine {
    /// The name: `order-1`.
    pub name: String,
    /// The id in full.
    pub id: String,
}

/// More lines of a cause than this are left to the artefact: an unshrunk plan would bury the sentence that matters.
const CAUSE_LINES_MAX: usize = 24;

/// The widest column for [`CauseLine::what`]. What is longer has its detail on the next line.
const WHAT_COLUMNS_MAX: usize = 32;

/// More lines of an error than this are dropped.
const ERROR_LINES_MAX: usize = 20;

/// How much of the digest is shown. Enough to tell two runs apart by eye; the artefact has all of it.
const DIGEST_CHARACTERS: usize = 16;

impl FailureReport {
    /// The failure as text, without a line break at its end, at most 100 columns wide. Only a command or a path
    /// may be wider, so that it can be copied.
    #[must_use]
    pub fn render(&self) -> String {
        let mut lines = self.headline();
        lines.extend(self.moment());
        lines.extend(self.cause());
        lines.extend(self.labelled());
        lines.join("\n")
    }

    /// The property, what happened, and the seed at the right.
    fn headline(&self) -> Vec<String> {
        let lead = format!("{} broken   ", one_line(&self.property));
        let seed = format!("seed {}", crate::seed::text(self.seed));
        let columns = WIDTH
            .saturating_sub(width(&lead) + 3 + width(&seed))
            .max(20);
        let mut lines = hang(&lead, &words(&self.promise_broken), width(&lead) + columns);
        let right = WIDTH.saturating_sub(width(&seed));
        let beside = if lines.len() == 1 {
            (width(&lines[0]) + 8).min(right)
        } else {
            right
        };
        lines[0] = format!("{:<beside$}{seed}", lines[0]);
        lines
    }

    /// When it broke, as far as that is known.
    fn moment(&self) -> Option<String> {
        let index = self.index.map(|index| format!("#{index}"));
        let at = match (self.at_ms.map(instant), index) {
            (Some(time), Some(index)) => Some(format!("at {time} ({index})")),
            (Some(only), None) | (None, Some(only)) => Some(format!("at {only}")),
            (None, None) => None,
        };
        let from = self
            .inevitable_from
            .map(|index| format!("inevitable from #{index}"));
        let parts: Vec<String> = at.into_iter().chain(from).collect();
        (!parts.is_empty()).then(|| format!("  {}", parts.join(", ")))
    }

    /// What is left of the plan, in the order of time, faults marked.
    fn cause(&self) -> Vec<String> {
        let left = self.faults.len() + self.operations.len();
        let faults = self.faults.iter().map(|line| ('!', line));
        // Where not all can be shown, operations go before faults do.
        let both = faults.chain(self.operations.iter().map(|line| (' ', line)));
        let mut shown: Vec<_> = both.take(CAUSE_LINES_MAX).collect();
        // What has no time comes last; the sort is stable, so that plan order decides among equals.
        shown.sort_by_key(|(_, line)| line.at_ms.unwrap_or(u64::MAX));
        let columns = Columns::of(&shown);
        let mut lines = vec![format!("  {}", self.cause_summary())];
        lines.extend(
            shown
                .iter()
                .flat_map(|(mark, line)| columns.lines(*mark, line)),
        );
        if left > shown.len() {
            lines.push(format!("    ... and {} more", left - shown.len()));
        }
        let several = self.instances.iter();
        let several: Vec<String> = several
            .map(|(service, instances)| format!("{instances} of {service}"))
            .collect();
        if self.chance > 0 {
            lines.push(format!("    at chance {} of the seed", self.chance));
        }
        if !self.instances.is_empty() {
            let mut with = words("with");
            with.extend(listed(several.iter().map(String::as_str)));
            lines.extend(hang("    ", &with, WIDTH));
        }
        lines.extend(
            self.minimality()
                .map(|claim| hang("    ", &claim, WIDTH))
                .into_iter()
                .flatten(),
        );
        lines
    }

    /// How much is left of how much, and what it took to find out.
    fn cause_summary(&self) -> String {
        let faults = share(self.faults.len(), self.faults_planned, "fault");
        let operations = share(self.operations.len(), self.operations_planned, "operation");
        match (self.shrink_runs, self.one_minimal) {
            (0, false) => format!("cause, not shrunk: {faults}, {operations}"),
            (runs, minimal) => {
                let found = if minimal {
                    "minimal cause"
                } else {
                    "smallest cause found"
                };
                let runs = crate::figures::count(runs, "run");
                let time = match self.shrink_ms {
                    0 => String::new(),
                    known => format!(", {}", wall_time(known)),
                };
                format!("{found}: {faults}, {operations} ({runs}{time})")
            }
        }
    }

    /// What the removal of each fault and of each operation does, equal ones together.
    fn minimality(&self) -> Option<Vec<String>> {
        if !self.one_minimal {
            return None;
        }
        if self.faults.is_empty() && self.operations.is_empty() {
            return Some(words("it takes no fault and no operation"));
        }
        let faults = removals(&self.faults, "fault");
        let parts: Vec<String> = faults
            .into_iter()
            .chain(removals(&self.operations, "operation"))
            .collect();
        (!parts.is_empty()).then(|| words(&parts.join("; ")))
    }

    /// The lines that begin with what they are.
    fn labelled(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.chain.is_empty() {
            lines.extend(chain_lines(&self.chain));
        }
        lines.extend(name_lines("  names   ", &self.names));
        if !self.others.is_empty() {
            let mut also = words("the same run broke");
            also.extend(listed(self.others.iter().map(String::as_str)));
            lines.extend(hang("  also    ", &also, WIDTH));
        }
        if let Some(note) = &self.note {
            lines.extend(hang("  note    ", &words(&one_line(note)), WIDTH));
        }
        lines.extend(self.error.iter().flat_map(|error| error_lines(error)));
        if !self.digest.is_empty() {
            let digest: String = one_line(&self.digest)
                .chars()
                .take(DIGEST_CHARACTERS)
                .collect();
            lines.push(format!("  digest  {digest}"));
        }
        if !self.replay_command.is_empty() {
            lines.push(format!("  replay  {}", one_line(&self.replay_command)));
        }
        if let Some(story) = &self.story {
            lines.push(format!("  story   {}", one_line(story)));
        }
        lines.extend(self.saved());
        lines
    }

    /// Where the artefact is and where it belongs.
    fn saved(&self) -> Vec<String> {
        let Some(artefact) = &self.artefact else {
            return Vec::new();
        };
        let artefact = one_line(artefact);
        match &self.keep_as {
            None => vec![format!("  saved   {artefact}")],
            Some(keep) => {
                let atoms = [
                    format!("{artefact};"),
                    format!("keep it as {}, to run first from now on", one_line(keep)),
                ];
                hang("  saved   ", &atoms, WIDTH)
            }
        }
    }
}

impl fmt::Display for FailureReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render())
    }
}

/// The columns in which the lines of a cause stand.
struct Columns {
    /// For the time.
    time: usize,
    /// For what it was.
    what: usize,
}

impl Columns {
    /// The columns that these lines need.
    fn of(shown: &[(char, &CauseLine)]) -> Self {
        let times = shown.iter().filter_map(|(_, line)| line.at_ms);
        let detailed = shown.iter().filter(|(_, line)| line.detail.is_some());
        let whats = detailed.map(|(_, line)| width(&one_line(&line.what)));
        Self {
            time: times.map(|at_ms| width(&instant(at_ms))).max().unwrap_or(0),
            what: whats
                .filter(|&columns| columns <= WHAT_COLUMNS_MAX)
                .max()
                .unwrap_or(0),
        }
    }

    /// One fault or operation, on as many lines as it needs.
    fn lines(&self, mark: char, line: &CauseLine) -> Vec<String> {
        let time = line.at_ms.map(instant).unwrap_or_default();
        let gap = if self.time == 0 { "" } else { "  " };
        let lead = format!("  {mark} {time:>width$}{gap}", width = self.time);
        let what = one_line(&line.what);
        let Some(detail) = &line.detail else {
            return hang(&lead, &words(&what), WIDTH);
        };
        if width(&what) <= self.what {
            let lead = format!("{lead}{what:<width$}  ", width = self.what);
            return hang(&lead, &words(detail), WIDTH);
        }
        // A column beside such a long text would be too narrow to read.
        let below = " ".repeat(width(&lead) + 2);
        let mut lines = hang(&lead, &words(&what), WIDTH);
        lines.extend(hang(&below, &words(detail), WIDTH));
        lines
    }
}

/// `without the fault: holds`, for every outcome that is known.
fn removals(causes: &[CauseLine], noun: &str) -> Vec<String> {
    let known = causes.iter().filter_map(|own| own.without.as_deref());
    let mut outcomes: Vec<&str> = Vec::new();
    for outcome in known {
        if !outcomes.contains(&outcome) {
            outcomes.push(outcome);
        }
    }
    let removal = |outcome: &&str| {
        let same = |own: &&CauseLine| own.without.as_deref() == Some(outcome);
        let with_outcome: Vec<&CauseLine> = causes.iter().filter(same).collect();
        let which = match (causes.len(), with_outcome.len()) {
            (1, _) => format!("the {noun}"),
            (2, 2) => format!("either {noun}"),
            (all, some) if all == some => format!("any one of the {noun}s"),
            _ => {
                let times = with_outcome.iter().filter_map(|own| own.at_ms.map(instant));
                let times: Vec<String> = times.collect();
                format!("the {noun} at {}", times.join(" or "))
            }
        };
        format!("without {which}: {outcome}")
    };
    outcomes.iter().map(removal).collect()
}

/// `2 of 37 faults`, `none of 37 faults`, `no faults planned`.
fn share(left: usize, planned: u64, noun: &str) -> String {
    match (left, crate::figures::count(planned, noun)) {
        (_, _) if planned == 0 => format!("no {noun}s planned"),
        (0, planned) => format!("none of {planned}"),
        (left, planned) => format!("{left} of {planned}"),
    }
}

/// What the names stand for, a line for each.
pub(crate) fn name_lines(lead: &str, names: &[NameLine]) -> Vec<String> {
    let columns = names.iter().map(|own| width(&one_line(&own.name))).max();
    let columns = columns.unwrap_or_default();
    let blank = " ".repeat(width(lead));
    let leads = std::iter::once(lead).chain(std::iter::repeat(&*blank));
    let line = |(lead, own): (&str, &NameLine)| {
        let (name, id) = (one_line(&own.name), one_line(&own.id));
        format!("{lead}{name:<columns$}  {id}")
    };
    leads.zip(names).map(line).collect()
}

/// The chain on one line where it fits, and otherwise a line for each link, so that it reads as a story.
fn chain_lines(chain: &[String]) -> Vec<String> {
    let links: Vec<String> = chain.iter().map(|link| one_line(link)).collect();
    let whole = format!("  chain   {}", links.join(" → "));
    if width(&whole) <= WIDTH {
        return vec![whole];
    }
    let leads = std::iter::once("  chain   ").chain(std::iter::repeat("          → "));
    leads
        .zip(&links)
        .flat_map(|(lead, link)| hang(lead, &words(link), WIDTH))
        .collect()
}

/// An error keeps its lines, since lists and backtraces are unreadable without them.
fn error_lines(error: &str) -> Vec<String> {
    let lines = error.lines().filter(|line| !one_line(line).is_empty());
    let more = lines.clone().count().saturating_sub(ERROR_LINES_MAX);
    let leads = std::iter::once("  error   ").chain(std::iter::repeat("          "));
    let shown = leads.zip(lines).take(ERROR_LINES_MAX);
    let mut shown: Vec<String> = shown
        .flat_map(|(lead, line)| hang(lead, &words(line), WIDTH))
        .collect();
    if more > 0 {
        shown.push(format!(
            "          ... and {} more",
            crate::figures::count(more as u64, "line")
        ));
    }
    shown
}
