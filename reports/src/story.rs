//! The story of a failure, as plain data, and the page that tells it.
//!
//! Reading order: `page` what is read from top to bottom, `chart` figures over virtual time, `columns` the form in which the
//! page's script gets the events. What belongs to the story, what caused what and what a run without a fault comes to is
//! said by the harness; nothing here decides it.

mod chart;
mod columns;
mod page;

use serde::{Deserialize, Serialize};

use crate::failure::FailureReport;
use crate::journey::Journey;
use crate::timeline::RowKind;

/// A failure with everything that a page can show of its run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// What broke, and the smallest cause that is known.
    pub failure: FailureReport,
    /// What the property promises, in one sentence.
    pub promise: String,
    /// The version of the program that ran it.
    pub code_version: String,
    /// The way to the failure, in the order of cause.
    pub sentences: Vec<Sentence>,
    /// The lanes of the timeline, from top to bottom.
    pub lanes: Vec<Lane>,
    /// What happened, in the order in which it did.
    pub events: Vec<StoryEvent>,
    /// Times at which something was wrong by plan.
    pub periods: Vec<Period>,
    /// What the run without one of its faults comes to, for each fault that was tried.
    pub removals: Vec<Removal>,
    /// Where the nearest run that does not break the property takes another way.
    pub nearest: Option<Nearest>,
    /// The way of the entity that the failure is about.
    pub journey: Option<Journey>,
    /// What services logged about that entity.
    pub logs: Vec<StoryEvent>,
    /// Figures over virtual time.
    pub series: Vec<Series>,
    /// When the run was over, in nanoseconds of virtual time.
    pub end_ns: u64,
}

/// One step of the story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// The event that it tells, if it tells one.
    pub index: Option<u64>,
    /// What is said.
    pub text: String,
}

/// Where things happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// What it is called.
    pub name: String,
    /// What sort of place it is.
    pub kind: LaneKind,
}

/// What sort of place a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaneKind {
    /// A host, or the harness itself.
    Host,
    /// A partition of a topic.
    Partition,
    /// A database.
    Database,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryEvent {
    /// Its index in the history.
    pub index: u64,
    /// Virtual time in nanoseconds.
    pub at_ns: u64,
    /// The lane, by its place in the list.
    pub lane: usize,
    /// The lane of the host at whose port it was seen.
    pub host: usize,
    /// What sort of event it is.
    pub kind: RowKind,
    /// What happened, in words.
    pub text: String,
    /// Whether the failure would be another one without it, as far as is known.
    pub in_cone: bool,
    /// Whether it is part of the proof.
    pub is_proof: bool,
    /// The event without which it would not have happened, if the harness knows.
    pub cause: Option<u64>,
    /// The message that it sent, or that arrived with it.
    pub arrow: Option<Arrow>,
}

/// A message between two lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrow {
    /// The event of the other end; the message's own event if it has but one.
    pub from: u64,
    /// The lane of the other end.
    pub lane: usize,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The broker took it.
    Published,
    /// It was handed over for the first time.
    Delivered,
    /// It was handed over once more.
    Again,
    /// It was handed over for the first time, more than a second after it was published.
    Delayed,
    /// It was refused, or its sender never learnt what became of it.
    Lost,
}

/// A time at which something was wrong by plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// What was wrong.
    pub label: String,
    /// From when, in nanoseconds of virtual time.
    pub from_ns: u64,
    /// Until when; the same for what was over at once.
    pub until_ns: u64,
    /// The only lane that it concerns, if it is but one.
    pub lane: Option<usize>,
}

/// What the run without one fault comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The fault that is left out.
    pub fault: String,
    /// What became of the property then, in words.
    pub outcome: String,
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearest {
    /// How the other run was planned, in words.
    pub how: String,
    /// The first event that differs, by its index.
    pub index: u64,
    /// What both runs have just before.
    pub before: Vec<String>,
    /// How the failing run went on.
    pub failing: Vec<String>,
    /// How the other run went on.
    pub passing: Vec<String>,
}

/// A figure over virtual time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What is counted or measured.
    pub title: String,
    /// What the axis says.
    pub unit: String,
    /// How its points belong together.
    pub form: Form,
    /// Nanoseconds of virtual time, and the figure from then on, or then.
    pub points: Vec<(u64, u64)>,
}

/// How the points of a figure belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Each holds until the next.
    Steps,
    /// Each stands for itself.
    Points,
}

impl Story {
    /// The story as one self-contained HTML file, at most some five megabytes; what had to be cut says so.
    #[must_use]
    pub fn page(&self) -> String {
        page::render(self)
    }
}

/// A page with another replay command in the place of the one that it was made with, for one that was moved with its artefact.
#[must_use]
pub fn readdressed(page: &str, from: &str, to: &str) -> String {
    let shown = |command: &str| maud::html! { (command) }.into_string();
    page.replace(&shown(from), &shown(to))
}
