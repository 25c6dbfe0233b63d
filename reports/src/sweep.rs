//! What a sweep found: counts by scenario, by kind of fault and by property, and its failures.
//!
//! The methods only add up and pick out. Whether a property held in a run was decided by a checker of the harness.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::FailureReport;
use crate::failure_rate::FailureRate;
use crate::panics::Panics;
use crate::shard::Shard;
use crate::signature::Signature;
use crate::verdict::VerdictWord;

/// Many seeds of one or more scenarios, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// The version of this format, [`SweepReport::VERSION`] for a report made here.
    pub version: u32,
    /// The first seed; the others follow from it.
    #[serde(with = "crate::seed")]
    pub first_seed: u64,
    /// How many runs were in progress at a time; `None` in a report that is to be the same wherever it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u64>,
    /// The database that the services ran on.
    pub database: Database,
    /// Whether the sweep was stopped before its end. The counts then cover the runs that had ended.
    pub interrupted: bool,
    /// How long it took on the wall clock; `None` in a report that is to be the same whenever it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The version of the program that made it.
    #[serde(default)]
    pub code_version: String,
    /// Which share of the seeds was run here; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// One report for each scenario, in the order in which the scenarios are listed.
    pub scenarios: Vec<ScenarioReport>,
}

/// The database that the services ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// SQLite files.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// All seeds of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// The scenario's name.
    pub name: String,
    /// What it promises, in one sentence.
    pub promise: String,
    /// How many seeds ran.
    pub seeds: u64,
    /// How many seeds the whole sweep asked for, those of all shards together.
    #[serde(default)]
    pub seeds_asked: u64,
    /// How much virtual time they simulated together.
    pub virtual_ms: u64,
    /// By kind of fault: planned and bitten, over all seeds.
    pub faults: BTreeMap<String, FaultCount>,
    /// By property: how many seeds gave each verdict. A property that the scenario names is here even if no seed ran.
    pub properties: BTreeMap<String, PropertyCount>,
    /// A kept failure that is back: it was run before the seeds, and is none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<FailureReport>,
    /// For each property that seeds broke, in the order of their ids, the failure of the lowest such seed.
    pub failures: Vec<FailureReport>,
    /// All failures of seeds, those that look alike together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
    /// How many kept failures were run again before the seeds and hold.
    #[serde(default)]
    pub kept: u64,
    /// Where the system's services panicked, whether a property minds or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub panics: Vec<Panics>,
}

/// How many faults of a kind were planned, and how many of them made a difference to their run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCount {
    /// Faults in the plans.
    pub planned: u64,
    /// Those of them that really bit.
    pub bitten: u64,
    /// Those that did not, because the call that they waited for never came. The others met nothing to strike.
    #[serde(default)]
    pub never_called: u64,
}

/// How many seeds gave a property each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyCount {
    /// Seeds in which it could have been broken and was not.
    pub holds: u64,
    /// Seeds in which it was broken.
    pub broken: u64,
    /// Seeds in which nothing that could have broken it occurred.
    pub vacuous: u64,
}

impl PropertyCount {
    /// Whether seeds ran and every one of them was vacuous for this property.
    #[must_use]
    pub fn is_vacuous(self) -> bool {
        self.holds == 0 && self.broken == 0 && self.vacuous > 0
    }

    /// The worst that happened, in a word. A property of which no seed says that it holds is vacuous.
    #[must_use]
    pub fn verdict(self) -> VerdictWord {
        match self {
            Self { broken: 1.., .. } => VerdictWord::Broken,
            Self { holds: 1.., .. } => VerdictWord::Holds,
            _ => VerdictWord::Vacuous,
        }
    }
}

impl ScenarioReport {
    /// How many seeds put the property to the test that the fewest did. Seeds in which nothing could have broken a
    /// property exclude nothing.
    #[must_use]
    pub fn tested_least(&self) -> u64 {
        let tested = self
            .properties
            .values()
            .map(|count| count.holds + count.broken);
        tested.min().unwrap_or_default()
    }

    /// What is told in full: a kept failure that is back, then a failure for each property that seeds broke.
    pub fn told(&self) -> impl Iterator<Item = &FailureReport> {
        self.back.iter().chain(&self.failures)
    }

    /// Whether any property was broken by any seed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.told().next().is_some() || self.properties.values().any(|count| count.broken > 0)
    }

    /// The scenario in a word: broken if any property is; holds if there are properties and each held in some seed;
    /// vacuous otherwise, so that a scenario which showed nothing is no success.
    #[must_use]
    pub fn verdict(&self) -> VerdictWord {
        let each_held = self
            .properties
            .values()
            .all(|count| count.verdict() == VerdictWord::Holds);
        match (self.is_broken(), each_held && !self.properties.is_empty()) {
            (true, _) => VerdictWord::Broken,
            (false, true) => VerdictWord::Holds,
            (false, false) => VerdictWord::Vacuous,
        }
    }

    /// All kinds of fault together.
    #[must_use]
    pub fn faults_total(&self) -> FaultCount {
        self.faults
            .values()
            .fold(FaultCount::default(), FaultCount::plus)
    }

    /// The largest failure rate that its seeds leave possible; `None` if any property was broken or no seed ran.
    #[must_use]
    pub fn failure_rate_max(&self) -> Option<FailureRate> {
        if self.is_broken() {
            None
        } else {
            FailureRate::after_green(self.tested_least())
        }
    }
}

impl FaultCount {
    /// Both counts added.
    pub(crate) fn plus(self, other: &Self) -> Self {
        Self {
            planned: self.planned + other.planned,
            bitten: self.bitten + other.bitten,
            never_called: self.never_called + other.never_called,
        }
    }
}

impl SweepReport {
    /// The newest version of the format: the one written here.
    pub const VERSION: u32 = 2;

    /// The same without what depends on the machine and the moment: equal sweeps of equal code give equal reports.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.jobs = None;
        self.elapsed_ms = None;
        for scenario in &mut self.scenarios {
            let told = scenario.back.iter_mut().chain(&mut scenario.failures);
            told.for_each(|failure| failure.shrink_ms = 0);
        }
        self
    }

    /// Whether any property was broken in any scenario.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.scenarios.iter().any(ScenarioReport::is_broken)
    }

    /// The sweep in a word: broken if any scenario is; holds if there are scenarios and each holds; vacuous otherwise.
    #[must_use]
    pub fn verdict(&self) -> VerdictWord {
        let each_holds = self
            .scenarios
            .iter()
            .all(|scenario| scenario.verdict() == VerdictWord::Holds);
        match (self.is_broken(), each_holds && !self.scenarios.is_empty()) {
            (true, _) => VerdictWord::Broken,
            (false, true) => VerdictWord::Holds,
            (false, false) => VerdictWord::Vacuous,
        }
    }

    /// Seeds over all scenarios: the number of runs.
    #[must_use]
    pub fn seeds_total(&self) -> u64 {
        self.scenarios.iter().map(|scenario| scenario.seeds).sum()
    }

    /// Virtual time over all scenarios.
    #[must_use]
    pub fn virtual_ms_total(&self) -> u64 {
        self.scenarios
            .iter()
            .map(|scenario| scenario.virtual_ms)
            .sum()
    }

    /// Faults over all kinds and scenarios.
    #[must_use]
    pub fn faults_total(&self) -> FaultCount {
        let totals = self.scenarios.iter().map(ScenarioReport::faults_total);
        totals.fold(FaultCount::default(), |total, of_one| total.plus(&of_one))
    }

    /// The kinds of fault of which at least one made a difference.
    #[must_use]
    pub fn fault_kinds_bitten(&self) -> BTreeSet<&str> {
        let kinds = self.scenarios.iter().flat_map(|scenario| &scenario.faults);
        kinds
            .filter(|(_, count)| count.bitten > 0)
            .map(|(kind, _)| kind.as_str())
            .collect()
    }

    /// The pairs of scenario and property that some seed broke, in order.
    #[must_use]
    pub fn broken(&self) -> Vec<(&str, &str)> {
        self.pairs(|count| count.broken > 0)
    }

    /// The pairs of scenario and property that were vacuous in every seed, in order.
    #[must_use]
    pub fn vacuous(&self) -> Vec<(&str, &str)> {
        self.pairs(PropertyCount::is_vacuous)
    }

    /// All failures, in the order of their scenarios.
    pub fn failures(&self) -> impl Iterator<Item = &FailureReport> {
        self.scenarios.iter().flat_map(ScenarioReport::told)
    }

    /// The largest failure rate that any of its scenarios leaves possible; `None` if anything was broken or some
    /// scenario ran no seed. Scenarios are not pooled: their seeds are drawn from different faults.
    #[must_use]
    pub fn failure_rate_max(&self) -> Option<FailureRate> {
        if self.is_broken() {
            return None;
        }
        let tested = self.scenarios.iter().map(ScenarioReport::tested_least);
        FailureRate::after_green(tested.min()?)
    }

    /// The pairs of scenario and property whose count is of the wanted sort.
    fn pairs(&self, wanted: impl Fn(PropertyCount) -> bool) -> Vec<(&str, &str)> {
        let mut pairs = Vec::new();
        for scenario in &self.scenarios {
            let properties = scenario
                .properties
                .iter()
                .filter(|(_, count)| wanted(**count));
            pairs.extend(
                properties.map(|(property, _)| (scenario.name.as_str(), property.as_str())),
            );
        }
        pairs
    }
}
