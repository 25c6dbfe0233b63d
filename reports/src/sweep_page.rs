//! A sweep as a page: what it comes to, a row for each scenario, and what broke.
//!
//! It needs no script, and says nothing that the terminal does not.

use maud::{Markup, html};

use crate::failure_rate::FailureRate;
use crate::html::Page;
use crate::sweep::{PropertyCount, ScenarioReport, SweepReport};
use crate::totals;
use crate::verdict::VerdictWord;

const STYLE: &str = "
.verdict { font-weight: 600; white-space: nowrap; }
.holds { color: var(--good); } .broken { color: var(--bad); } .vacuous { color: var(--warn); }
td ul { list-style: none; margin: 0; padding: 0; } td li { white-space: nowrap; }
th[scope=row] { font-weight: 600; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; } dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
";

/// The sweep as one self-contained HTML file.
#[must_use]
pub fn render(report: &SweepReport) -> String {
    let title = format!("Stormglass sweep: {}", report.verdict());
    let body = html! {
        h1 { "Stormglass sweep: " (word(report.verdict())) }
        dl {
            @for sentence in totals::sentences(report) {
                dt { (sentence.label) } dd { (sentence.text) }
            }
        }
        @for scenario in report.scenarios.iter().filter(|own| own.is_broken()) { (failures(scenario)) }
        h2 { "Scenarios" }
        (table(report))
    };
    let page = Page {
        title: &title,
        style: STYLE,
        body,
        script: "",
    };
    page.render()
}

/// The verdict with a sign, since a colour alone says nothing to some.
fn word(verdict: VerdictWord) -> Markup {
    let (class, sign) = match verdict {
        VerdictWord::Holds => ("verdict holds", "✓"),
        VerdictWord::Broken => ("verdict broken", "✗"),
        VerdictWord::Vacuous => ("verdict vacuous", "–"),
    };
    html! { span class=(class) { (sign) " " (verdict) } }
}

fn failures(scenario: &ScenarioReport) -> Markup {
    html! {
        h2 { (scenario.name) }
        p { (scenario.promise) }
        @for failure in scenario.told() {
            h3 { (failure.property) " broken by seed " (crate::seed::text(failure.seed)) }
            pre tabindex="0" { (failure.render()) }
        }
        @if !scenario.signatures.is_empty() {
            h3 { "Failures that look alike" }
            ul { @for signature in &scenario.signatures { li { (signature) } } }
        }
    }
}

fn table(report: &SweepReport) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Scenarios" {
            table {
                thead { tr {
                    th scope="col" { "scenario" }
                    th scope="col" class="number" { "seeds" }
                    th scope="col" { "verdict" }
                    th scope="col" { "faults (planned, bit)" }
                    th scope="col" { "properties (holds, broken, vacuous; failure rate at most)" }
                } }
                tbody { @for scenario in &report.scenarios { (row(scenario)) } }
            }
        }
    }
}

fn row(scenario: &ScenarioReport) -> Markup {
    html! {
        tr {
            th scope="row" { (scenario.name) }
            td class="number" { (scenario.seeds) }
            td { (word(scenario.verdict())) }
            td { @if scenario.faults.is_empty() { "none" } @else {
                ul { @for (kind, count) in &scenario.faults {
                    li { (kind) " " (count.planned) ", " (count.bitten) }
                } }
            } }
            td { ul { @for (property, count) in &scenario.properties { (property_item(property, *count)) } } }
        }
    }
}

fn property_item(property: &str, count: PropertyCount) -> Markup {
    let rate = FailureRate::of(count);
    html! {
        li {
            (property) " " (count.holds) ", " (count.broken) ", " (count.vacuous)
            @if let Some(rate) = rate { "; ≤" (rate) }
            @if count.verdict() != VerdictWord::Holds { " " (word(count.verdict())) }
        }
    }
}
