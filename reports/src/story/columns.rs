//! Events as columns: the compact form in which a page's script gets them.
//!
//! A hundred thousand events have to fit into a few megabytes, so texts outside of what caused the failure are left out where
//! there is no room for all: those that are farthest from it go first.

use serde::Serialize;

use super::{Fate, Lane, Period, Story, StoryEvent};
use crate::timeline::RowKind;

/// How many bytes all texts of events may have together.
const TEXTS_MAX: usize = 2_500_000;
/// How many characters of one text are shown.
const TEXT_MAX: usize = 400;

/// All that the script needs.
#[derive(Serialize)]
pub(super) struct Columns {
    lanes: Vec<Lane>,
    periods: Vec<Times>,
    end: u64,
    /// The event that broke the property, by its place.
    focus: Option<usize>,
    /// Indices in the history, each less the one before.
    index: Vec<u64>,
    /// Microseconds, each less the one before.
    at: Vec<u64>,
    lane: Vec<usize>,
    kind: Vec<u8>,
    /// 1 in the cone, 2 of the proof.
    mark: Vec<u8>,
    /// Places of the other ends of messages, by places: flat triples of lane, place and fate.
    arrows: Vec<(usize, usize, usize, u8)>,
    /// The texts; an empty one was left out.
    text: Vec<String>,
    /// How many texts were left out.
    pub(super) left_out: usize,
}

#[derive(Serialize)]
struct Times {
    label: String,
    from: u64,
    until: u64,
    lane: Option<usize>,
}

impl Columns {
    pub(super) fn of(story: &Story) -> Self {
        let events = &story.events;
        let place = |index: u64| events.binary_search_by_key(&index, |own| own.index).ok();
        let focus = story.failure.index.and_then(place);
        let texts = texts(events, focus.unwrap_or(events.len()));
        let arrows = events.iter().enumerate().filter_map(|(to, event)| {
            let arrow = event.arrow?;
            Some((to, place(arrow.from)?, arrow.lane, fate(arrow.fate)))
        });
        Columns {
            lanes: story.lanes.iter().map(shown).collect(),
            periods: story.periods.iter().map(Times::of).collect(),
            end: story.end_ns / 1_000,
            focus,
            index: steps(events.iter().map(|event| event.index)),
            at: steps(events.iter().map(|event| event.at_ns / 1_000)),
            lane: events.iter().map(|event| event.lane).collect(),
            kind: events.iter().map(|event| kind(event.kind)).collect(),
            mark: events
                .iter()
                .map(|event| u8::from(event.in_cone) + u8::from(event.is_proof))
                .collect(),
            arrows: arrows.collect(),
            left_out: texts.iter().filter(|text| text.is_empty()).count(),
            text: texts,
        }
    }
}

impl Times {
    fn of(period: &Period) -> Self {
        Times {
            label: cut(&period.label),
            from: period.from_ns / 1_000,
            until: period.until_ns / 1_000,
            lane: period.lane,
        }
    }
}

/// A lane with a name that can be shown.
fn shown(lane: &Lane) -> Lane {
    Lane {
        name: cut(&lane.name),
        kind: lane.kind,
    }
}

/// Each number less the one before it.
fn steps(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut last = 0;
    let step = |number: u64| number - std::mem::replace(&mut last, number);
    numbers.map(step).collect()
}

/// The texts, as far as there is room: of the cone first, then the nearest to the failure.
fn texts(events: &[StoryEvent], focus: usize) -> Vec<String> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|&place| (!events[place].in_cone, place.abs_diff(focus)));
    let mut texts = vec![String::new(); events.len()];
    let mut room = TEXTS_MAX;
    for place in order {
        let text = cut(&events[place].text);
        match room.checked_sub(text.len()) {
            Some(left) => room = left,
            None => break,
        }
        texts[place] = text;
    }
    texts
}

/// A text as a page shows it: what is too long is cut and says so, and nothing in it turns the direction of writing or is
/// invisible.
pub(super) fn cut(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        c => c,
    };
    let mut shown: String = text.chars().take(TEXT_MAX).map(visible).collect();
    let left = text.chars().skip(TEXT_MAX).count();
    if left > 0 {
        shown += &format!("… ({left} characters more)");
    }
    shown
}

fn kind(kind: RowKind) -> u8 {
    match kind {
        RowKind::Operation => 0,
        RowKind::Database => 1,
        RowKind::Broker => 2,
        RowKind::Fault => 3,
        RowKind::External => 4,
        RowKind::Log => 5,
        RowKind::Run => 6,
        RowKind::Verdict => 7,
    }
}

fn fate(fate: Fate) -> u8 {
    match fate {
        Fate::Published => 0,
        Fate::Delivered => 1,
        Fate::Again => 2,
        Fate::Delayed => 3,
        Fate::Lost => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::{TEXT_MAX, cut};

    #[test]
    fn what_is_hostile_in_a_text_is_made_visible_and_what_is_long_is_cut() {
        assert_eq!(cut("a\u{202e}b\u{0}\nc"), "a\u{fffd}b\u{fffd} c");
        let long = cut(&"x".repeat(5_000_000));
        assert_eq!(
            long,
            format!("{}… (4999600 characters more)", "x".repeat(TEXT_MAX))
        );
    }
}
