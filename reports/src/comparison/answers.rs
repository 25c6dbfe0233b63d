//! What an architect asks, answered in a sentence each from what was counted. Needs are not weighed against each other.

use super::{Cell, Comparison, Count, Interval, Latency};
use crate::figures::count;

/// A need, and what was measured of it.
pub(super) struct Answer {
    pub(super) need: &'static str,
    pub(super) text: String,
}

/// The set without faults, and the one in which the broker is down.
const CALM: &str = "none";
const OUTAGE: &str = "outage";

/// The answers, as far as the comparison has what they need.
pub(super) fn answers(comparison: &Comparison) -> Vec<Answer> {
    let answer = |need, text: String| Answer { need, text };
    let mut answers = vec![
        answer(
            "Losing no order",
            worst(comparison, "lost", |cell| cell.orders_lost),
        ),
        answer(
            "Telling every customer whose order was shipped",
            worst(comparison, "left untold", |cell| cell.untold),
        ),
        answer(
            "A quick answer to the customer",
            quickest(comparison, |cell| cell.answer),
        ),
        answer("A quick effect", quickest(comparison, |cell| cell.effect)),
        answer("Taking orders while the broker is down", outage(comparison)),
        answer(
            "Being told that the broker is down",
            told_of_outage(comparison),
        ),
        answer("Knowing of what was lost", unnoticed(comparison)),
        answer("Little to operate", parts(comparison)),
    ];
    answers.retain(|answer| !answer.text.is_empty());
    answers
}

/// `3 of 300 seeds (0.2 to 3%)`.
pub(super) fn share(hits: u64, seeds: u64) -> String {
    format!("{hits} of {seeds} seeds ({})", Interval::of(hits, seeds))
}

/// Which patterns have no such count under any faults, and under which the others have most. Sets are not pooled: they share
/// their seeds, and have rates of their own.
fn worst(comparison: &Comparison, did: &str, of: fn(&Cell) -> Count) -> String {
    // Patterns of which the same is to be said are named together.
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for pattern in &comparison.patterns {
        let met = met(comparison, &pattern.name);
        let worst = met.iter().max_by_key(|cell| of(cell).seeds);
        let text = match worst {
            Some(worst) if of(worst).total > 0 => format!(
                "{did} some, most under {}: in {}",
                worst.faults,
                share(of(worst).seeds, worst.runs)
            ),
            _ => format!(
                "{did} none under the {} sets of faults met ({} of the seeds of each)",
                met.len(),
                Interval::of(0, comparison.seeds)
            ),
        };
        match told.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(&pattern.name),
            None => told.push((text, vec![&pattern.name])),
        }
    }
    let told = told
        .iter()
        .map(|(text, names)| format!("{} {text}", names.join(", ")));
    told.collect::<Vec<_>>().join("; ")
}

/// The cells of a pattern in which a fault had an effect on any run.
fn met<'c>(comparison: &'c Comparison, pattern: &str) -> Vec<&'c Cell> {
    let cells = comparison.cells.iter();
    let own = cells.filter(|cell| cell.pattern == pattern && cell.bitten > 0);
    own.collect()
}

/// The patterns by a median without faults, the shortest first.
fn quickest(comparison: &Comparison, of: fn(&Cell) -> Latency) -> String {
    let cells = comparison.cells.iter().filter(|cell| cell.faults == CALM);
    let mut medians: Vec<(u64, &Cell)> = cells
        .filter_map(|cell| Some((of(cell).p500?, cell)))
        .collect();
    medians.sort_by_key(|(median, _)| *median);
    let told = medians.iter().map(|(median, cell)| {
        let p99 = of(cell)
            .p990
            .map_or("never".to_owned(), |ms| format!("{ms} ms"));
        format!("{} {median} ms (99%: {p99})", cell.pattern)
    });
    told.collect::<Vec<_>>().join(", ")
}

fn outage(comparison: &Comparison) -> String {
    let cells = comparison.cells.iter().filter(|cell| cell.faults == OUTAGE);
    let cells = cells.filter(|cell| cell.asked_meanwhile > 0);
    let told = cells.map(|cell| {
        let Cell {
            pattern,
            asked_meanwhile: asked,
            accepted_meanwhile: accepted,
            ..
        } = cell;
        let lost = match cell.orders_lost.total {
            0 => String::new(),
            lost => format!(" (and lost {lost} of all {})", cell.accepted),
        };
        format!("{pattern} took {accepted} of {asked}{lost}")
    });
    told.collect::<Vec<_>>().join(", ")
}

/// When monitors had somebody told of an outage, pattern by pattern.
fn told_of_outage(comparison: &Comparison) -> String {
    let cells = comparison.cells.iter().filter(|cell| cell.faults == OUTAGE);
    let cells = cells.filter(|cell| cell.noticed.count > 0);
    let told = cells.map(|cell| {
        let Latency { count, never, .. } = cell.noticed;
        let within = match cell.noticed.p500 {
            Some(median) => format!(" (half of all within {median} ms)"),
            None => String::new(),
        };
        format!(
            "{} in {} of {count} runs{within}",
            cell.pattern,
            count - never
        )
    });
    told.collect::<Vec<_>>().join(", ")
}

/// How many of the lost orders were lost without a word, under all faults, of the patterns that lost any.
fn unnoticed(comparison: &Comparison) -> String {
    let told = comparison.patterns.iter().filter(|own| own.broker);
    let told = told.filter_map(|pattern| {
        let met = met(comparison, &pattern.name);
        let sum = |of: fn(&Cell) -> Count| met.iter().map(|cell| of(cell).total).sum::<u64>();
        let (lost, silent) = (
            sum(|cell| cell.orders_lost),
            sum(|cell| cell.lost_unnoticed),
        );
        let text = format!(
            "{} lost {lost} orders, {silent} of them in runs in which nobody was told of anything",
            pattern.name
        );
        (lost > 0).then_some(text)
    });
    told.collect::<Vec<_>>().join("; ")
}

fn parts(comparison: &Comparison) -> String {
    let told = comparison.patterns.iter().map(|own| {
        let broker = if own.broker { ", a broker" } else { "" };
        format!(
            "{}: {}, {}{broker}",
            own.name,
            match own.processes {
                1 => "1 process".to_owned(),
                many => format!("{many} processes"),
            },
            count(own.databases, "database")
        )
    });
    told.collect::<Vec<_>>().join("; ")
}

/// A row of the article's table, and what a measurement says to it.
struct Row {
    approach: &'static str,
    said: [&'static str; 4],
    pattern: &'static str,
}

/// What the article says of its three approaches: reliability, time to set up, overhead of operations, best use.
const ARTICLE: [Row; 3] = [
    Row {
        approach: "direct publish",
        said: [
            "low",
            "1 to 2 days",
            "minimal",
            "prototypes, events that are not critical",
        ],
        pattern: "direct",
    },
    Row {
        approach: "outbox and relay",
        said: [
            "high",
            "1 to 2 weeks",
            "moderate",
            "most production systems",
        ],
        pattern: "outbox",
    },
    Row {
        approach: "CDC",
        said: [
            "high",
            "2 to 4 weeks",
            "significant",
            "legacy systems, no change of code",
        ],
        pattern: "cdc",
    },
];

/// The heads of its columns, and of what was measured.
pub(super) const ARTICLE_HEAD: [&str; 6] = [
    "approach",
    "reliability",
    "time to set up",
    "overhead",
    "best for",
    "measured",
];

/// Its rows, with what was measured of each approach over all sets of faults.
pub(super) fn article_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let row = |row: &Row| {
        let said = row.said.iter().map(|own| (*own).to_owned());
        let cells = [row.approach.to_owned()].into_iter().chain(said);
        cells.chain([measured(comparison, row.pattern)]).collect()
    };
    ARTICLE.iter().map(row).collect()
}

fn measured(comparison: &Comparison, pattern: &str) -> String {
    let met = met(comparison, pattern);
    match met.iter().max_by_key(|cell| cell.events_lost.seeds) {
        None => "met no fault".to_owned(),
        Some(worst) if worst.events_lost.total > 0 => format!(
            "lost events, most under {}: in {}",
            worst.faults,
            share(worst.events_lost.seeds, worst.runs)
        ),
        Some(_) => format!(
            "lost none under {} sets of faults ({} of the seeds of each)",
            met.len(),
            Interval::of(0, comparison.seeds)
        ),
    }
}

/// Which of the article's columns a run can speak to.
pub(super) const COLUMNS: &str = "Reliability is what the runs measure. Of the overhead of operations they only show the number of moving \
    parts. Time to set up and best use are judgements about people, which no run can confirm or refute.";

/// What the figures are not.
pub(super) const METHOD: [&str; 8] = [
    "Every pattern ran the same seeds: the same orders at the same virtual times, whether or not earlier ones were answered, and the same \
     faults. What a fault names and a pattern does not have, such as a broker in one process, cannot strike it.",
    "Times are virtual and modelled: 1 to 10 ms a network segment, a fixed time a database statement. They compare patterns; they do \
     not predict a production system's.",
    "A time to the effect runs from the request to the mail that says that the parcel is on its way. What never came counts as longer than all \
     others, and is not left out.",
    "Intervals are Clopper and Pearson's at 95%, over seeds; where no seed or every seed showed something, the bound is one-sided. Patterns are compared \
     in pairs, on the same seeds: in losing orders by McNemar's exact test, in the median time to the effect by a paired bootstrap over seeds. \
     No p-value is corrected for the number of pairs.",
    "Lost events and ghosts are counted where a broker is used; lost orders everywhere. Nothing is taken from a service's own word.",
    "Statements are all that services ask of their databases, in vain or not: a relay that polls asks without any order, so its share \
     shrinks with the load.",
    "Where a broker is used, a monitor looks every two seconds, and has somebody told when a consumer's message or an event that is to be published \
     has waited for two seconds, or anything was parked; what is down is down for seconds here, so that the thresholds are short. It is \
     counted from the first fault to the first word. Statements, transactions and processes of the monitor itself are left out.",
    "Not measured: the cost of people.",
];
