//! The comparison of patterns: its renderings, and its intervals recomputed from its JSON.

use std::path::Path;

use serde_json::Value;
use stormglass_reports::Comparison;
use stormglass_reports::comparison::{
    Cell, Count, Difference, Discordance, FaultSet, Interval, Latency, Pair, PatternFacts,
};

fn latency(times: std::ops::Range<u64>, never: usize) -> Latency {
    let times = times.map(Some);
    Latency::of(times.chain(std::iter::repeat_n(None, never)).collect())
}

/// Two patterns under two sets of faults, of which one loses orders in an outage.
fn comparison() -> Comparison {
    let cell = |pattern: &str, faults: &str, lost: Count| Cell {
        pattern: pattern.to_owned(),
        faults: faults.to_owned(),
        runs: 300,
        bitten: 300,
        accepted: 3_000,
        orders_lost: lost,
        lost_unnoticed: lost,
        events_lost: lost,
        answer: latency(10..40, 0),
        effect: latency(400..900, lost.total as usize),
        asked_meanwhile: if faults == "none" { 0 } else { 1_480 },
        accepted_meanwhile: if faults == "none" { 0 } else { 1_480 },
        noticed: match (pattern, faults) {
            (_, "none") => Latency::default(),
            ("outbox", _) => latency(2_000..2_280, 20),
            _ => latency(0..0, 300),
        },
        never_drained: lost.seeds,
        statements: 240_000,
        commits: 36_000,
        publishes: 15_000,
        deliveries: 45_000,
        ..Cell::default()
    };
    let pair = |faults: &str, lost: Count| Pair {
        faults: faults.to_owned(),
        this: "direct".to_owned(),
        other: "outbox".to_owned(),
        lost: Discordance {
            only_this: lost.seeds,
            only_other: 0,
        },
        effect: Some(Difference {
            median_ms: Some(-120),
            from_ms: Some(-131),
            until_ms: (faults == "none").then_some(-110),
        }),
    };
    let pattern = |name: &str, about: &str| PatternFacts {
        name: name.to_owned(),
        about: about.to_owned(),
        processes: 7,
        databases: 5,
        broker: true,
    };
    let set = |name: &str, about: &str| FaultSet {
        name: name.to_owned(),
        about: about.to_owned(),
    };
    let lost = Count {
        total: 412,
        seeds: 231,
    };
    Comparison {
        version: Comparison::VERSION,
        code_version: "0.1.0".to_owned(),
        first_seed: 0,
        seeds: 300,
        orders: 10,
        orders_over_ms: 20_000,
        interrupted: false,
        patterns: vec![
            pattern(
                "outbox",
                "a relay publishes rows that were written with the order",
            ),
            pattern("direct", "each service publishes once, after its commit"),
        ],
        faults: vec![
            set("none", "nothing happens"),
            set("outage", "the broker is down for ten seconds of the sale"),
        ],
        cells: vec![
            cell("outbox", "none", Count::default()),
            cell("direct", "none", Count::default()),
            cell("outbox", "outage", Count::default()),
            cell("direct", "outage", lost),
        ],
        pairs: vec![pair("none", Count::default()), pair("outage", lost)],
    }
}

#[test]
fn a_comparison_in_a_terminal() {
    let text = comparison().text();
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn a_comparison_in_markdown() {
    insta::assert_snapshot!(comparison().markdown());
}

#[test]
fn a_comparison_in_drawings() {
    for (name, drawing) in comparison().drawings() {
        assert!(!drawing.contains("<script"), "{name}");
        insta::assert_snapshot!(name, drawing.replace("><", ">\n<"));
    }
}

#[test]
fn a_comparison_as_a_page() {
    let page = comparison().page();
    assert_eq!(page, comparison().page());
    assert!(!page.contains("<script"), "it needs none");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).expect("target is writable");
    std::fs::write(folder.join("compare.html"), page).expect("target is writable");
}

#[test]
fn a_comparison_survives_its_document() {
    let read: Comparison = serde_json::from_str(&comparison().json()).expect("readable");
    assert_eq!(read, comparison());
}

/// The chance of at most `hits`, term by term, which is another way than the one under test.
fn at_most(hits: u64, seeds: u64, rate: f64) -> f64 {
    let choose = |hit: u64| (1..=hit).map(move |own| (seeds - hit + own) as f64 / own as f64);
    let term = |hit: u64| {
        let factors = choose(hit).map(f64::ln).sum::<f64>();
        (factors + hit as f64 * rate.ln() + (seeds - hit) as f64 * (1.0 - rate).ln()).exp()
    };
    (0..=hits).map(term).sum()
}

/// Holds each interval and each p-value that the Markdown shows against the counts of the JSON document.
fn recomputed(comparison: &Comparison) {
    let document: Value = serde_json::from_str(&comparison.json()).expect("JSON");
    let markdown = comparison.markdown();
    for cell in document["cells"].as_array().expect("a list") {
        let number = |value: &Value| value.as_u64().expect("a count");
        let (hits, runs) = (number(&cell["orders_lost"]["seeds"]), number(&cell["runs"]));
        let interval = Interval::of(hits, runs);
        let one_sided = hits == 0 || hits == runs;
        let tail = if one_sided { 0.05 } else { 0.025 };
        if hits < runs {
            assert!(
                (at_most(hits, runs, interval.high) - tail).abs() < 1e-9,
                "{cell}"
            );
        } else {
            assert_eq!(interval.high, 1.0, "{cell}");
        }
        if hits > 0 {
            let below = at_most(hits - 1, runs, interval.low);
            assert!((1.0 - below - tail).abs() < 1e-9, "{cell}");
        } else {
            assert_eq!(interval.low, 0.0, "{cell}");
        }
        if number(&cell["bitten"]) == 0 && cell["faults"] != "none" {
            continue;
        }
        let shown = format!("{hits} of {runs} seeds ({interval})");
        assert!(markdown.contains(&shown), "{shown}");
    }
    for pair in document["pairs"].as_array().expect("a list") {
        let number = |name: &str| pair["lost"][name].as_u64().expect("a count");
        let (this, other) = (number("only_this"), number("only_other"));
        // Both ends of what is at least as far from even.
        let p = match this + other {
            0 => 1.0,
            all => f64::min(1.0, 2.0 * at_most(this.min(other), all, 0.5)),
        };
        let p = match p < 0.001 {
            true => "p < 0.001".to_owned(),
            false => format!("p = {p:.3}"),
        };
        let name = |name: &str| pair[name].as_str().expect("a name");
        let shown = format!(
            "| {} | {} | {this} : {other}, {p} |",
            name("this"),
            name("other")
        );
        assert!(markdown.contains(&shown), "{shown}");
    }
}

#[test]
fn intervals_can_be_recomputed_from_the_document() {
    recomputed(&comparison());
}

#[test]
fn intervals_of_the_published_comparison_can_be_recomputed() {
    recomputed(&super::published::published());
}

#[test]
fn what_never_came_is_longer_than_all_others() {
    let some = Latency::of((1..=98).map(Some).chain([None, None]).collect());
    assert_eq!((some.count, some.never), (100, 2));
    assert_eq!((some.p500, some.p990, some.p999), (Some(50), None, None));
    assert_eq!(Latency::of(Vec::new()), Latency::default());
}
