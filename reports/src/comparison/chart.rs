//! The drawings of a comparison, as static SVG: shares with their intervals, and times, a row for each cell.
//!
//! A mark's shape and its label say what its colour says.

use maud::{Markup, PreEscaped, html};

use super::{Cell, Comparison, Interval};

const WIDTH: u64 = 760;
const LEFT: u64 = 230;
const RIGHT: u64 = 150;
const ROW: u64 = 20;
const TOP: u64 = 34;

/// Style within a drawing that stands alone; in a page the page's own variables are used.
const STYLE: &str = "svg { background: #fff; font: 12px system-ui, sans-serif; } text { fill: #1a1d21; } .quiet { fill: #565d66; } \
    .rule { stroke: #d0d5db; } .mark { fill: #0b5cad; stroke: #0b5cad; } .bad { fill: #b3261e; stroke: #b3261e; } \
    @media (prefers-color-scheme: dark) { svg { background: #14171a; } text { fill: #e7eaee; } .quiet { fill: #a3acb6; } \
    .rule { stroke: #3a4149; } .mark { fill: #7db8f5; stroke: #7db8f5; } .bad { fill: #ff8a80; stroke: #ff8a80; } }";

pub(super) fn files(comparison: &Comparison) -> Vec<(&'static str, String)> {
    let file = |drawing: Markup| drawing.into_string() + "\n";
    vec![
        ("lost.svg", file(lost(comparison, Some(STYLE)))),
        ("effect.svg", file(effect(comparison, Some(STYLE)))),
    ]
}

/// A drawing of rows under headings, one heading for each set of faults.
fn rows(
    comparison: &Comparison,
    title: &str,
    style: Option<&str>,
    row: impl Fn(&Cell, u64) -> Markup,
) -> Markup {
    let sets = comparison.faults.len() as u64;
    let height = TOP + (sets * (comparison.patterns.len() as u64 + 1)) * ROW + 12;
    let view = format!("0 0 {WIDTH} {height}");
    let mut y = TOP;
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(view) role="img" aria-label=(title) {
            @if let Some(style) = style { style { (PreEscaped(style)) } }
            text x="8" y="16" font-weight="600" { (title) }
            @for faults in &comparison.faults {
                ({ y += ROW; heading(&faults.name, y) })
                @for pattern in &comparison.patterns {
                    @if let Some(cell) = comparison.cell(&pattern.name, &faults.name) {
                        ({ y += ROW; html! { text class="quiet" x="24" y=(y + 4) { (pattern.name) } (row(cell, y)) } })
                    }
                }
            }
        }
    }
}

fn heading(name: &str, y: u64) -> Markup {
    html! {
        text x="8" y=(y + 4) font-weight="600" { (name) }
        line class="rule" x1=(LEFT) y1=(y + 8) x2=(WIDTH - RIGHT) y2=(y + 8) {}
    }
}

/// Where a share lies, from left to right.
fn across(share: f64) -> u64 {
    LEFT + (share.clamp(0.0, 1.0) * (WIDTH - RIGHT - LEFT) as f64).round() as u64
}

/// The share of seeds in which orders were lost, with its interval.
pub(super) fn lost(comparison: &Comparison, style: Option<&str>) -> Markup {
    rows(
        comparison,
        "Seeds in which orders were lost, with 95% intervals (0 to 100%)",
        style,
        |cell, y| {
            let (hits, runs) = (cell.orders_lost.seeds, cell.runs);
            let interval = Interval::of(hits, runs);
            let middle = across(hits as f64 / runs.max(1) as f64);
            let class = if hits > 0 { "bad" } else { "mark" };
            let label = y + 4;
            html! {
                @if cell.is_met() {
                    line class=(class) stroke-width="2" x1=(across(interval.low)) y1=(y) x2=(across(interval.high)) y2=(y) {}
                    @if hits > 0 { rect class=(class) x=(middle - 4) y=(y - 4) width="8" height="8" {} }
                    @else { circle class=(class) cx=(middle) cy=(y) r="4" {} }
                    text x=(WIDTH - RIGHT + 10) y=(label) { (hits) "/" (runs) " " (interval) }
                } @else {
                    text class="quiet" x=(WIDTH - RIGHT + 10) y=(label) { "not met" }
                }
            }
        },
    )
}

/// The times of half and of 99 of 100 effects, on a scale of powers of ten.
pub(super) fn effect(comparison: &Comparison, style: Option<&str>) -> Markup {
    let longest = comparison.cells.iter().filter_map(|cell| cell.effect.p990);
    let longest = (longest.max().unwrap_or(1).max(10) as f64).log10();
    let place = |ms: u64| across((ms.max(1) as f64).log10() / longest);
    rows(
        comparison,
        "From the request to the effect: half (circle) and 99% (bar), ms of virtual time, powers of ten",
        style,
        |cell, y| {
            let told = |time: Option<u64>| time.map_or("never".to_owned(), |ms| ms.to_string());
            let end = cell.effect.p990.map_or(across(1.0), place);
            html! {
                @if let Some(median) = cell.effect.p500 {
                    line class="mark" stroke-width="2" stroke-dasharray=[cell.effect.p990.is_none().then_some("5 4")] x1=(place(median)) y1=(y) x2=(end) y2=(y) {}
                    circle class="mark" cx=(place(median)) cy=(y) r="4" {}
                    @if cell.effect.p990.is_some() { line class="mark" stroke-width="2" x1=(end) y1=(y - 5) x2=(end) y2=(y + 5) {} }
                }
                text x=(WIDTH - RIGHT + 10) y=(y + 4) { (told(cell.effect.p500)) ", " (told(cell.effect.p990)) }
            }
        },
    )
}
