//! The comparison as a page: the answers first, then the matrix, the drawings, every figure, and the method.

use maud::{Markup, html};

use super::answers::{ARTICLE_HEAD, COLUMNS, METHOD, answers, article_rows};
use super::chart::{effect, lost};
use super::markdown::{CORRECTNESS, PAIRS, SPEED, command, correctness_row, pair_rows, speed_row};
use super::{Cell, Comparison, Interval};
use crate::html::Page;

const STYLE: &str = "
dl.answers dt { font-weight: 600; margin-top: 0.8rem; } dl.answers dd { margin: 0.1rem 0 0 0; max-width: 60rem; }
table.matrix td, table.matrix th { text-align: right; white-space: nowrap; } table.matrix th:first-child { text-align: left; }
table.matrix small { font-weight: 400; }
section > .scroll + .scroll, section > details { margin-top: 1rem; } tbody th { white-space: nowrap; }
td.lost { color: var(--bad); font-weight: 600; } td.kept { color: var(--good); }
svg { width: 100%; max-width: 60rem; height: auto; font: 12px var(--sans); } svg text { fill: var(--text); } svg .quiet { fill: var(--quiet); }
svg .rule { stroke: var(--line); } svg .mark { fill: var(--accent); stroke: var(--accent); } svg .bad { fill: var(--bad); stroke: var(--bad); }
figure { margin: 1.5rem 0; overflow-x: auto; } figure svg { min-width: 40rem; }
";

pub(super) fn render(comparison: &Comparison) -> String {
    let page = Page {
        title: "Publish patterns compared",
        style: STYLE,
        body: html! {
            header {
                h1 { "Publish patterns compared" }
                p class="quiet" {
                    (comparison.seeds) " seeds from " (crate::seed::text(comparison.first_seed)) " on for each cell, " (comparison.orders)
                    " orders a seed, stormglass " (comparison.code_version) "; made by " code { (command(comparison)) }
                    @if comparison.interrupted { "; interrupted, so each cell has only the seeds that all had run" }
                }
            }
            section aria-labelledby="needs" {
                h2 id="needs" { "Which pattern for which need?" }
                dl class="answers" { @for answer in answers(comparison) { dt { (answer.need) } dd { (answer.text) "." } } }
            }
            section aria-labelledby="matrix" {
                h2 id="matrix" { "Orders lost" }
                (matrix(comparison))
                figure tabindex="0" aria-label="Seeds in which orders were lost" { (lost(comparison, None)) }
                figure tabindex="0" aria-label="Time to the effect" { (effect(comparison, None)) }
            }
            section aria-labelledby="article" {
                h2 id="article" { "The article's table, and what was measured" }
                (article(comparison))
                p { (COLUMNS) }
            }
            section aria-labelledby="what" {
                h2 id="what" { "Patterns and faults" }
                dl { @for own in &comparison.patterns { dt { b { (own.name) } } dd { (own.about) } } }
                dl { @for own in &comparison.faults { dt { b { (own.name) } } dd { (own.about) } } }
            }
            @for faults in &comparison.faults { (detail(comparison, &faults.name)) }
            section aria-labelledby="method" {
                h2 id="method" { "Method, and what this does not say" }
                ul { @for own in METHOD { li { (own) } } }
            }
        },
        script: "",
    };
    page.render()
}

fn matrix(comparison: &Comparison) -> Markup {
    html! {
        p class="quiet" { "✗ orders lost of those accepted, and the share of seeds in which that happened; ✓ none, and how often it may still happen (95%); – no fault of the set had an effect on this pattern" }
        div class="scroll" tabindex="0" role="region" aria-label="Orders lost, by pattern and faults" { table class="matrix" {
            thead { tr { th scope="col" { "faults" } @for own in &comparison.patterns { th scope="col" { (own.name) } } } }
            tbody { @for faults in &comparison.faults { tr {
                th scope="row" { a href=(format!("#{}", faults.name)) { (faults.name) } }
                @for own in &comparison.patterns {
                    @if let Some(cell) = comparison.cell(&own.name, &faults.name) { (loss(cell)) } @else { td { "–" } }
                }
            } } }
        } }
    }
}

fn loss(cell: &Cell) -> Markup {
    let interval = Interval::of(cell.orders_lost.seeds, cell.runs);
    match cell.orders_lost.total {
        _ if !cell.is_met() => html! { td class="quiet" { "– not met" } },
        0 => html! { td class="kept" { "✓ 0" br; small { (interval) } } },
        total => {
            html! { td class="lost" { "✗ " (total) "/" (cell.accepted) br; small { (interval) } } }
        }
    }
}

fn article(comparison: &Comparison) -> Markup {
    table(
        "The article's table",
        &ARTICLE_HEAD,
        article_rows(comparison),
    )
}

fn detail(comparison: &Comparison, faults: &str) -> Markup {
    let cells: Vec<&Cell> = comparison
        .cells
        .iter()
        .filter(|cell| cell.faults == faults)
        .collect();
    let correctness = cells
        .iter()
        .map(|cell| correctness_row(comparison, cell).to_vec());
    let speed = cells
        .iter()
        .map(|cell| speed_row(comparison, cell).to_vec());
    let pairs = pair_rows(comparison, faults);
    html! {
        section {
            h2 id=(faults) { (faults) }
            (table(&format!("{faults}: what went wrong"), &CORRECTNESS, correctness.collect()))
            (table(&format!("{faults}: times and cost"), &SPEED, speed.collect()))
            @if !pairs.is_empty() { details { summary { "Pattern against pattern" } (table(&format!("{faults}: pattern against pattern"), &PAIRS, pairs)) } }
        }
    }
}

fn table(label: &str, head: &[&str], rows: Vec<Vec<String>>) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) { table {
            thead { tr { @for own in head { th scope="col" { (own) } } } }
            tbody { @for row in rows { tr { @for (number, cell) in row.iter().enumerate() {
                @if number == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
            } } } }
        } }
    }
}
