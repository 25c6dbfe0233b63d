//! The text of a journey.

use stormglass_reports::{Hop, Journey};

use crate::samples;

fn journey() -> Journey {
    let mut rows = samples::timeline().rows;
    let later = rows.split_off(rows.len() / 2);
    let hop = |depth, title: &str, rows| Hop {
        depth,
        title: title.to_owned(),
        rows,
    };
    Journey {
        entity: "order-1".to_owned(),
        scenario: "crashes".to_owned(),
        seed: 7,
        hops: vec![
            hop(0, "order.placed event-1", rows),
            hop(1, "stock.reserved event-2", later),
        ],
        failures: vec!["stock.reserved event-2 was never published".to_owned()],
        names: samples::timeline().names,
    }
}

#[test]
fn a_journey_that_broke_off_says_where() {
    let text = journey().render();
    let broke = "  where it broke: stock.reserved event-2 was never published";
    for line in ["the way of order-1", "  stock.reserved event-2", broke] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
    let deeper = text
        .lines()
        .skip_while(|line| *line != "  stock.reserved event-2");
    let rows = deeper.skip(1).take_while(|line| !line.is_empty());
    assert!(rows.clone().count() > 0, "{text}");
    assert!(rows.into_iter().all(|row| row.starts_with("  ")), "{text}");
}

#[test]
fn a_journey_that_came_to_its_end_says_so() {
    let whole = Journey {
        failures: Vec::new(),
        ..journey()
    };
    let text = whole.render();
    assert!(text.contains("every event arrived"), "{text}");
    assert!(!text.contains("where it broke"), "{text}");
}
