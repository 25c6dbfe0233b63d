//! The comparison of publish patterns: the same seeds, load and faults for each of them, counted side by side.
//!
//! Reading order: `interval` how sure a share is, `paired` whether two patterns differ on the same seeds, `answers` what an
//! architect asks, then the renderings: `text` for terminals, `markdown`, `chart` the drawings, `page`. What is counted is
//! given; there is no score that adds up what cannot be compared.

mod answers;
mod chart;
mod interval;
mod markdown;
mod page;
mod paired;
mod text;

use serde::{Deserialize, Serialize};

pub use interval::Interval;
pub use paired::{Discordance, Pair};

/// All patterns under all sets of faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The version of this format.
    pub version: u32,
    /// The version of the program that made it.
    pub code_version: String,
    /// The first seed; the others follow one by one.
    #[serde(with = "crate::seed")]
    pub first_seed: u64,
    /// How many seeds each cell has.
    pub seeds: u64,
    /// How many orders a run has, and over how many milliseconds of virtual time they come in.
    pub orders: u64,
    /// See `orders`.
    pub orders_over_ms: u64,
    /// Whether it was stopped before its end: then the cells have fewer seeds, all of them the same.
    pub interrupted: bool,
    /// The patterns, in the order of the columns.
    pub patterns: Vec<PatternFacts>,
    /// The sets of faults, in the order of the rows.
    pub faults: Vec<FaultSet>,
    /// Every pattern under every set, set by set.
    pub cells: Vec<Cell>,
    /// Every two patterns that a set had an effect on, set by set.
    pub pairs: Vec<Pair>,
}

/// A way of publishing, and what runs for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternFacts {
    /// Its name.
    pub name: String,
    /// What it does, in one sentence.
    pub about: String,
    /// How many processes run.
    pub processes: u64,
    /// How many databases.
    pub databases: u64,
    /// Whether a broker is needed. Where one is, monitors watch what is parked, not published, or not consumed.
    pub broker: bool,
}

/// Faults that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSet {
    /// Its name.
    pub name: String,
    /// What happens, in one sentence.
    pub about: String,
}

/// One pattern under one set of faults, over all seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The pattern's name.
    pub pattern: String,
    /// The set's name.
    pub faults: String,
    /// How many runs there were.
    pub runs: u64,
    /// In how many of them a fault had an effect.
    pub bitten: u64,
    /// Orders that stand in the shop's books at the end.
    pub accepted: u64,
    /// Requests that customers were told have failed.
    pub refused: u64,
    /// Accepted orders that are neither shipped nor cancelled when nothing happens any more.
    pub orders_lost: Count,
    /// Those of them that were lost in runs in which no monitor had anybody told that something is wrong.
    pub lost_unnoticed: Count,
    /// Accepted orders that were shipped, and whose customers were never told.
    pub untold: Count,
    /// Committed events that no broker ever got, where there is one.
    pub events_lost: Count,
    /// Published events that no commit stands behind.
    pub ghosts: Count,
    /// Events that stand in the broker's log more than once.
    pub published_again: Count,
    /// Effects that a consumer had twice of one event.
    pub effects_twice: Count,
    /// Runs in which an entity's events took effect out of order.
    pub inversions: Count,
    /// Runs in which money or stock does not add up.
    pub books_wrong: Count,
    /// From the request to its answer.
    pub answer: Latency,
    /// From the request to the mail that says that the parcel is on its way.
    pub effect: Latency,
    /// Orders that were asked for while the faults lasted.
    pub asked_meanwhile: u64,
    /// Those of them that were answered as done.
    pub accepted_meanwhile: u64,
    /// Runs in which a monitor had somebody told that something is wrong.
    pub paged: u64,
    /// From the first fault until somebody was told, of the runs in which faults had an effect, where monitors watch.
    pub noticed: Latency,
    /// The most events that waited to be published at once, over all runs.
    pub backlog_peak: u64,
    /// The longest that one of them waited, in milliseconds, of those that were published.
    pub backlog_age_ms: u64,
    /// The longest time after the faults until all that had waited was published, in milliseconds, of the runs in which it was.
    pub drained_ms: u64,
    /// Runs in which some of it never was.
    pub never_drained: u64,
    /// Statements that services asked of their databases, over all runs; what they poll for is in it.
    pub statements: u64,
    /// Transactions that wrote, over all runs.
    pub commits: u64,
    /// Messages that the broker took, over all runs.
    pub publishes: u64,
    /// Messages that the broker handed over, over all runs.
    pub deliveries: u64,
}

/// How often something happened, and in how many seeds at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How often, over all runs.
    pub total: u64,
    /// In how many seeds at least once.
    pub seeds: u64,
}

impl Cell {
    /// Whether the set's faults had an effect on any run. The set without faults is met by every pattern.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.bitten > 0 || self.faults == "none"
    }
}

impl Count {
    /// One more run, in which it happened so often.
    pub fn add(&mut self, times: u64) {
        self.total += times;
        self.seeds += u64::from(times > 0);
    }
}

/// Times in milliseconds of virtual time. What never came counts as longer than all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many there are, those that never came included.
    pub count: u64,
    /// How many never came.
    pub never: u64,
    /// So many of 1,000 are at most so long; `None` if that one never came.
    pub p500: Option<u64>,
    /// See `p500`.
    pub p990: Option<u64>,
    /// See `p500`.
    pub p999: Option<u64>,
}

impl Latency {
    /// The figures of these times, of which `None` never came.
    #[must_use]
    pub fn of(mut times: Vec<Option<u64>>) -> Self {
        times.sort_by_key(|time| time.unwrap_or(u64::MAX));
        let at = |of_1000: usize| {
            let rank = (times.len() * of_1000).div_ceil(1_000).max(1);
            times.get(rank - 1).copied().flatten()
        };
        Latency {
            count: times.len() as u64,
            never: times.iter().filter(|time| time.is_none()).count() as u64,
            p500: at(500),
            p990: at(990),
            p999: at(999),
        }
    }
}

/// By how much one median time is longer than another, in milliseconds, and where 95 of 100 resamplings of the seeds put that.
/// What never came counts as longer than all others; each is `None` where one of the two medians itself never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Of all seeds.
    pub median_ms: Option<i64>,
    /// The lower end.
    pub from_ms: Option<i64>,
    /// The upper end.
    pub until_ms: Option<i64>,
}

/// The times of one seed by two patterns, of which `None` never came.
pub type Times<'a> = (&'a [Option<u64>], &'a [Option<u64>]);

impl Difference {
    /// The difference by a paired bootstrap of 1,000 resamplings, drawn from `seed`; `None` where one of the patterns has no time.
    #[must_use]
    pub fn of(pairs: &[Times<'_>], seed: u64) -> Option<Self> {
        paired::bootstrap(pairs, seed)
    }
}

impl Comparison {
    /// The version that is written here.
    pub const VERSION: u32 = 4;

    /// The cell of a pattern under a set of faults.
    #[must_use]
    pub fn cell(&self, pattern: &str, faults: &str) -> Option<&Cell> {
        let mut cells = self.cells.iter();
        cells.find(|cell| cell.pattern == pattern && cell.faults == faults)
    }

    /// For a terminal, at most 100 columns wide.
    #[must_use]
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// As a Markdown document that shows the drawings of [`Comparison::drawings`] beside it.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// As one self-contained HTML file.
    #[must_use]
    pub fn page(&self) -> String {
        page::render(self)
    }

    /// As one JSON document with a line break at its end.
    ///
    /// # Panics
    ///
    /// Never: it is plain data.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data has a JSON form") + "\n"
    }

    /// The drawings as SVG files, by name.
    #[must_use]
    pub fn drawings(&self) -> Vec<(&'static str, String)> {
        chart::files(self)
    }
}
