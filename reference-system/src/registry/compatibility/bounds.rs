//! Bounds: keywords with a number that what is written stays above or below.

use super::difference::Rule;
use super::reading::Reading;
use super::schema::Node;

/// Upper bounds: a reader's may be as high or higher.
const UPPER: [&str; 6] = [
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
    "maxContains",
];

/// Lower bounds: a reader's may be as low or lower.
const LOWER: [&str; 6] = [
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
    "minContains",
];

/// All keywords that hold a number.
pub(super) fn keywords() -> impl Iterator<Item = &'static str> {
    UPPER.into_iter().chain(LOWER).chain(["multipleOf"])
}

pub(super) fn compare(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    let is_tighter_above = |written: f64, read: f64| read < written;
    let is_tighter_below = |written: f64, read: f64| read > written;
    for keyword in UPPER {
        bound(reading, keyword, writer, reader, is_tighter_above);
    }
    for keyword in LOWER {
        bound(reading, keyword, writer, reader, is_tighter_below);
    }
    multiples(reading, writer, reader);
}

fn bound(
    reading: &mut Reading,
    keyword: &'static str,
    writer: Node<'_>,
    reader: Node<'_>,
    is_tighter: fn(f64, f64) -> bool,
) {
    let Some(read) = reader.number(keyword) else {
        return;
    };
    match writer.number(keyword) {
        None => reading.differs_at(keyword, Rule::BoundAdded),
        Some(written) if is_tighter(written, read) => {
            reading.differs_at(keyword, Rule::BoundTightened);
        }
        Some(_) => {}
    }
}

fn multiples(reading: &mut Reading, writer: Node<'_>, reader: Node<'_>) {
    let keyword = "multipleOf";
    let Some(read) = reader.number(keyword) else {
        return;
    };
    match writer.number(keyword) {
        None => reading.differs_at(keyword, Rule::MultipleOfAdded),
        Some(written) if written % read != 0.0 => {
            reading.differs_at(keyword, Rule::MultipleOfChanged);
        }
        Some(_) => {}
    }
}
