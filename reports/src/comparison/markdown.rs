//! The comparison as a Markdown document, which names the drawings beside it.

use super::answers::{ARTICLE_HEAD, COLUMNS, METHOD, answers, article_rows, share};
use super::{Cell, Comparison, Difference, Latency, Pair};

pub(super) fn render(comparison: &Comparison) -> String {
    let mut blocks = vec![
        "# Publish patterns compared".to_owned(),
        format!(
            "{} seeds from {} on for each cell, {} orders a seed; made by `{}`.",
            comparison.seeds,
            crate::seed::text(comparison.first_seed),
            comparison.orders,
            command(comparison)
        ),
        "## Which pattern for which need?".to_owned(),
        list(
            answers(comparison)
                .iter()
                .map(|own| format!("**{}:** {}.", own.need, own.text)),
        ),
        "![Seeds in which orders were lost](lost.svg)".to_owned(),
        "![Time to the effect](effect.svg)".to_owned(),
        "## Patterns".to_owned(),
        list(
            comparison
                .patterns
                .iter()
                .map(|own| format!("**{}**: {}", own.name, own.about)),
        ),
        "## Faults".to_owned(),
        list(
            comparison
                .faults
                .iter()
                .map(|own| format!("**{}**: {}", own.name, own.about)),
        ),
        "## The article's table, and what was measured".to_owned(),
        article(comparison),
        COLUMNS.to_owned(),
    ];
    for faults in &comparison.faults {
        blocks.push(format!("## {}", faults.name));
        blocks.push(correctness(comparison, &faults.name));
        blocks.push(speed(comparison, &faults.name));
        blocks.extend(pairs(comparison, &faults.name));
    }
    blocks.push("## Method, and what this does not say".to_owned());
    blocks.push(list(METHOD.into_iter().map(str::to_owned)));
    blocks.join("\n\n") + "\n"
}

/// The command that makes the comparison again.
pub(super) fn command(comparison: &Comparison) -> String {
    format!(
        "cargo run --release -- compare --seeds {} --out DIR",
        comparison.seeds
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    items
        .map(|item| format!("- {item}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let head_line = line(head.iter().map(|own| (*own).to_owned()).collect());
    let rule = line(head.iter().map(|_| "---".to_owned()).collect());
    [head_line, rule]
        .into_iter()
        .chain(rows.map(line))
        .collect::<Vec<_>>()
        .join("\n")
}

fn article(comparison: &Comparison) -> String {
    table(&ARTICLE_HEAD, article_rows(comparison).into_iter())
}

fn of<'c>(comparison: &'c Comparison, faults: &'c str) -> impl Iterator<Item = &'c Cell> {
    comparison
        .cells
        .iter()
        .filter(move |cell| cell.faults == faults)
}

fn has_broker(comparison: &Comparison, cell: &Cell) -> bool {
    let mut patterns = comparison.patterns.iter();
    patterns.any(|own| own.name == cell.pattern && own.broker)
}

/// What went wrong.
pub(super) const CORRECTNESS: [&str; 10] = [
    "pattern",
    "orders accepted",
    "orders lost",
    "seeds that lost any",
    "lost, and nobody told",
    "shipped, customer never told",
    "events lost",
    "ghosts",
    "published again, effective",
    "out of order, books wrong (runs)",
];

fn correctness(comparison: &Comparison, faults: &str) -> String {
    table(
        &CORRECTNESS,
        of(comparison, faults).map(|cell| correctness_row(comparison, cell).to_vec()),
    )
}

pub(super) fn correctness_row(comparison: &Comparison, cell: &Cell) -> [String; 10] {
    let on_broker = |count: u64| match has_broker(comparison, cell) {
        true => count.to_string(),
        false => "–".to_owned(),
    };
    [
        cell.pattern.clone(),
        format!("{}, {} refused", cell.accepted, cell.refused),
        cell.orders_lost.total.to_string(),
        match cell.is_met() {
            true => share(cell.orders_lost.seeds, cell.runs),
            false => "not met: no fault had an effect".to_owned(),
        },
        on_broker(cell.lost_unnoticed.total),
        cell.untold.total.to_string(),
        on_broker(cell.events_lost.total),
        on_broker(cell.ghosts.total),
        format!(
            "{}, {}",
            cell.published_again.total, cell.effects_twice.total
        ),
        format!("{}, {}", cell.inversions.total, cell.books_wrong.total),
    ]
}

/// How long things take, and what they cost.
pub(super) const SPEED: [&str; 7] = [
    "pattern",
    "answer p50/p99/p99.9, ms",
    "effect p50/p99/p99.9, ms (never)",
    "taken while it lasted",
    "told after p50/p99, ms (never)",
    "backlog: peak, oldest, drained",
    "an order: statements, commits, publishes, deliveries",
];

fn speed(comparison: &Comparison, faults: &str) -> String {
    table(
        &SPEED,
        of(comparison, faults).map(|cell| speed_row(comparison, cell).to_vec()),
    )
}

pub(super) fn speed_row(comparison: &Comparison, cell: &Cell) -> [String; 7] {
    let meanwhile = match cell.asked_meanwhile {
        0 => "–".to_owned(),
        asked => format!("{} of {asked}", cell.accepted_meanwhile),
    };
    let noticed = match cell.noticed.count {
        0 => "–".to_owned(),
        _ => format!(
            "{} / {} ({})",
            time(cell.noticed.p500),
            time(cell.noticed.p990),
            cell.noticed.never
        ),
    };
    let drained = match cell.never_drained {
        0 => format!("{} ms", cell.drained_ms),
        never => format!("{} ms, never in {never} runs", cell.drained_ms),
    };
    let asked = (cell.runs * comparison.orders).max(1) as f64;
    let each = |count: u64| format!("{:.1}", count as f64 / asked);
    [
        cell.pattern.clone(),
        percentiles(cell.answer),
        format!("{} ({})", percentiles(cell.effect), cell.effect.never),
        meanwhile,
        noticed,
        match has_broker(comparison, cell) {
            true => format!(
                "{}, {} ms, {drained}",
                cell.backlog_peak, cell.backlog_age_ms
            ),
            false => "–".to_owned(),
        },
        format!(
            "{}, {}, {}, {}",
            each(cell.statements),
            each(cell.commits),
            each(cell.publishes),
            each(cell.deliveries)
        ),
    ]
}

/// How two patterns differ on the same seeds.
pub(super) const PAIRS: [&str; 4] = [
    "pattern",
    "other pattern",
    "seeds in which only one lost orders (pattern : other)",
    "effect against the other, ms",
];

fn pairs(comparison: &Comparison, faults: &str) -> Option<String> {
    let pairs = pair_rows(comparison, faults);
    (!pairs.is_empty()).then(|| table(&PAIRS, pairs.into_iter()))
}

pub(super) fn pair_rows(comparison: &Comparison, faults: &str) -> Vec<Vec<String>> {
    let pairs = comparison.pairs.iter();
    let pairs = pairs.filter(|pair| pair.faults == faults);
    pairs
        .map(|pair| pair_row(comparison, pair).to_vec())
        .collect()
}

fn pair_row(comparison: &Comparison, pair: &Pair) -> [String; 4] {
    let never = |pattern: &str| {
        let cell = comparison.cell(pattern, &pair.faults);
        cell.is_some_and(|cell| cell.effect.count > 0 && cell.effect.p500.is_none())
    };
    [
        pair.this.clone(),
        pair.other.clone(),
        pair.lost.told(),
        match pair.effect {
            Some(_) if never(&pair.this) && never(&pair.other) => "never by both".to_owned(),
            Some(own) => difference(own),
            None => "–".to_owned(),
        },
    ]
}

fn difference(own: Difference) -> String {
    let signed = |time: Option<i64>| time.map_or("never".to_owned(), |ms| format!("{ms:+}"));
    let [median, from, until] = [own.median_ms, own.from_ms, own.until_ms].map(signed);
    format!("{median} ({from} to {until})")
}

fn percentiles(latency: Latency) -> String {
    format!(
        "{} / {} / {}",
        time(latency.p500),
        time(latency.p990),
        time(latency.p999)
    )
}

fn time(time: Option<u64>) -> String {
    time.map_or("never".to_owned(), |ms| ms.to_string())
}
