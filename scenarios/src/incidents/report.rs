//! The report: a row for each claim of the article, as Markdown.

use serde::Serialize;

use super::claims::{CLAIMS, Claim};
use super::finding::Finding;

/// What an incident measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// Its name.
    pub incident: &'static str,
    /// What the right design promises.
    pub promise: &'static str,
    /// How many seeds each design was run with.
    pub seeds: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

const HEAD: &str = "\
# The article's claims

Each row is a claim of the article on reliable event-driven systems, and what came out when the designs that it compares were run on the same
load under the same faults. Times are virtual unless it is said, figures are counts out of the histories of all seeds together. Written by
`cargo run --release -- incidents --out reports/article.md`.

| Claim | Scenario | Measured | Holds | Again with |
|---|---|---|---|---|
";

/// The report on these measurements.
pub fn markdown(measurements: &[Measurement]) -> String {
    let rows = CLAIMS.iter().map(|claim| row(claim, measurements));
    HEAD.to_owned() + &rows.collect::<String>()
}

fn row(claim: &Claim, measurements: &[Measurement]) -> String {
    let found = measurements.iter().find_map(|own| {
        let mut findings = own.findings.iter();
        let finding = findings.find(|finding| finding.claim == claim.id)?;
        Some((own, finding))
    });
    let Some((own, finding)) = found else {
        return format!("| {} | – | not asked for this time | – | – |\n", claim.text);
    };
    let measured = finding.measured.iter();
    let measured = measured.map(|own| format!("{}: {}", own.design, own.figures));
    let measured: Vec<String> = measured.collect();
    let holds = if finding.holds { "yes" } else { "**no**" };
    format!(
        "| {} | {} | {} | {holds} | `cargo run --release -- incidents {} --seeds {}` |\n",
        claim.text,
        own.incident,
        measured.join("; "),
        own.incident,
        own.seeds,
    )
}
