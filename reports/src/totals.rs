//! The sentences that sum up a sweep, the same in every rendering for people.
//!
//! Each comes with a label and no layout.

use std::collections::BTreeMap;

use crate::figures::{count, virtual_time, wall_time};
use crate::green::{idle, mattered};
use crate::sweep::{FaultCount, ScenarioReport, SweepReport};
use crate::verdict::VerdictWord;

/// One sentence and what it is about.
pub(crate) struct Sentence {
    /// One word.
    pub(crate) label: &'static str,
    /// The sentence, a fragment without a full stop.
    pub(crate) text: String,
}

/// What a sweep comes to, its verdict last.
pub(crate) fn sentences(report: &SweepReport) -> Vec<Sentence> {
    let mut sentences = vec![
        Sentence {
            label: "total",
            text: total(report),
        },
        Sentence {
            label: "faults",
            text: faults(report),
        },
    ];
    let kept: u64 = report.scenarios.iter().map(|scenario| scenario.kept).sum();
    if kept > 0 {
        let verb = if kept == 1 { "holds" } else { "hold" };
        sentences.push(Sentence {
            label: "kept",
            text: format!("{} {verb}", count(kept, "kept failure")),
        });
    }
    for scenario in &report.scenarios {
        let panics = scenario.panics.iter();
        sentences.extend(panics.map(|panics| Sentence {
            label: "panics",
            text: format!("{}: {panics}", scenario.name),
        }));
    }
    if report.interrupted {
        let text = "the sweep was interrupted: only the runs that had ended are counted".to_owned();
        sentences.push(Sentence {
            label: "note",
            text,
        });
    }
    if report.is_broken() && !report.vacuous().is_empty() {
        sentences.push(Sentence {
            label: "vacuous",
            text: vacuous(report),
        });
    }
    sentences.push(Sentence {
        label: "verdict",
        text: verdict(report),
    });
    sentences
}

fn total(report: &SweepReport) -> String {
    let elapsed = report.elapsed_ms.map(wall_time);
    let jobs = report.jobs.map(|jobs| count(jobs, "job") + ", ");
    let shard = report.shard.map(|shard| format!(", shard {shard}"));
    format!(
        "{} of {}{}, {} ({}{}, first seed {}{})",
        count(report.seeds_total(), "seed"),
        count(report.scenarios.len() as u64, "scenario"),
        elapsed.map_or_else(String::new, |time| format!(" in {time}")),
        virtual_time(report.virtual_ms_total()),
        jobs.unwrap_or_default(),
        report.database,
        crate::seed::text(report.first_seed),
        shard.unwrap_or_default(),
    )
}

/// How many faults there were, and which kinds were planned to no effect.
fn faults(report: &SweepReport) -> String {
    let FaultCount {
        planned, bitten, ..
    } = report.faults_total();
    let kinds_bitten = report.fault_kinds_bitten();
    let mut kinds: BTreeMap<String, FaultCount> = BTreeMap::new();
    for (kind, count) in report
        .scenarios
        .iter()
        .flat_map(|scenario| &scenario.faults)
    {
        let sum = kinds.entry(kind.clone()).or_default();
        *sum = sum.plus(count);
    }
    let idle = idle(&kinds);
    let mut text = format!(
        "{planned} planned, {bitten} bit; {}",
        mattered(kinds_bitten.len())
    );
    if !idle.is_empty() {
        text += "; never bit: ";
        text += &idle.join(", ");
    }
    text
}

fn verdict(report: &SweepReport) -> String {
    match report.verdict() {
        VerdictWord::Holds => match report.failure_rate_max() {
            Some(rate) => {
                format!(
                    "every property holds; failure rate of each property in each scenario at most {rate}"
                )
            }
            None => "every property holds".to_owned(),
        },
        VerdictWord::Broken => format!("broken {}", broken(report)),
        VerdictWord::Vacuous => format!("inconclusive: {}", vacuous(report)),
    }
}

/// Where what broke, and how often.
fn broken(report: &SweepReport) -> String {
    let scenarios = report
        .scenarios
        .iter()
        .filter(|scenario| scenario.is_broken());
    let parts: Vec<String> = scenarios
        .map(|scenario| format!("in {}: {}", scenario.name, broken_properties(scenario)))
        .collect();
    parts.join("; ")
}

fn broken_properties(scenario: &ScenarioReport) -> String {
    let broken = scenario
        .properties
        .iter()
        .filter(|(_, count)| count.broken > 0);
    let seeds = count(scenario.seeds, "seed");
    let parts: Vec<String> = broken
        .map(|(property, count)| format!("{property} ({} of {seeds})", count.broken))
        .collect();
    // A failure need not come from a property that is counted.
    if parts.is_empty() {
        "see its failures".to_owned()
    } else {
        parts.join(", ")
    }
}

/// What showed nothing.
fn vacuous(report: &SweepReport) -> String {
    let pairs = report.vacuous().into_iter();
    let pairs: Vec<String> = pairs
        .map(|(scenario, property)| format!("{property} in {scenario}"))
        .collect();
    if pairs.is_empty() {
        return "not every scenario ran far enough to show anything".to_owned();
    }
    format!(
        "nothing occurred that could have broken {}",
        pairs.join(", ")
    )
}
