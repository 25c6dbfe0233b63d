//! Combined schemas: `allOf`, `anyOf` and `oneOf`.
//!
//! Parts are paired off: each part of the side that has fewer needs one of its own on the other side that goes with it.

use super::difference::Rule;
use super::reading::Reading;
use super::schema::Node;

/// How parts are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Criterion {
    All,
    Any,
    One,
}

/// A schema that is nothing but a combination of others.
pub(super) struct Combined<'s> {
    criterion: Criterion,
    parts: Vec<Node<'s>>,
}

impl<'s> Combined<'s> {
    /// The combination that `node` is, if it is one.
    pub(super) fn of(node: Node<'s>) -> Option<Self> {
        let named = [
            ("allOf", Criterion::All),
            ("anyOf", Criterion::Any),
            ("oneOf", Criterion::One),
        ];
        let (keyword, criterion) = named
            .into_iter()
            .find(|(keyword, _)| node.keyword(keyword).is_some())?;
        Some(Combined {
            criterion,
            parts: node.list(keyword),
        })
    }

    /// Its only part, where it has no other.
    fn only(&self) -> Option<Node<'s>> {
        match self.parts[..] {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Compares two schemas at least one of which is combined.
pub(super) fn compare(
    reading: &mut Reading,
    (writer, written): (Node<'_>, Option<Combined<'_>>),
    (reader, read): (Node<'_>, Option<Combined<'_>>),
) {
    match (written, read) {
        (Some(written), Some(read)) => pair_off(reading, &written, &read),
        (Some(written), None) => match written.only() {
            Some(only) => reading.compare(only, reader),
            None => reading.differs(Rule::TypeChanged),
        },
        (None, Some(read)) => match read.only() {
            Some(only) => reading.compare(writer, only),
            None if takes_one(reading, writer, &read) => {}
            None => reading.differs(Rule::TypeChanged),
        },
        (None, None) => {}
    }
}

/// Whether one of several alternatives reads what is written to `writer`.
fn takes_one(reading: &mut Reading, writer: Node<'_>, read: &Combined<'_>) -> bool {
    let mut parts = read.parts.iter();
    read.criterion != Criterion::All && parts.any(|part| reading.reads(writer, *part))
}

fn pair_off(reading: &mut Reading, written: &Combined<'_>, read: &Combined<'_>) {
    let (fewer, more) = (written.parts.len(), read.parts.len());
    let is_kept = match read.criterion {
        criterion if criterion == written.criterion => true,
        Criterion::Any => true,
        Criterion::One => fewer == 1,
        Criterion::All => fewer == 1 && more == 1,
    };
    if !is_kept {
        return reading.differs(Rule::CombinedTypeChanged);
    }
    match read.criterion {
        Criterion::All if more > fewer => reading.differs(Rule::ProductExtended),
        Criterion::Any | Criterion::One if fewer > more => reading.differs(Rule::SumNarrowed),
        _ => {}
    }
    if pairs(reading, written, read) < fewer.min(more) {
        reading.differs(Rule::CombinedSubschemasChanged);
    }
}

/// How many pairs there can be at once (Kuhn's algorithm for matchings).
fn pairs(reading: &mut Reading, written: &Combined<'_>, read: &Combined<'_>) -> usize {
    let goes: Vec<Vec<bool>> = written
        .parts
        .iter()
        .map(|own| {
            read.parts
                .iter()
                .map(|other| reading.reads(*own, *other))
                .collect()
        })
        .collect();
    let mut partners = vec![None; read.parts.len()];
    let found = (0..goes.len()).filter(|own| {
        let mut seen = vec![false; read.parts.len()];
        find_partner(*own, &goes, &mut seen, &mut partners)
    });
    found.count()
}

/// Finds a partner for one part, where need be by finding another one for whoever has it.
fn find_partner(
    own: usize,
    goes: &[Vec<bool>],
    seen: &mut [bool],
    partners: &mut [Option<usize>],
) -> bool {
    for other in 0..partners.len() {
        if !goes[own][other] || std::mem::replace(&mut seen[other], true) {
            continue;
        }
        let is_free = match partners[other] {
            None => true,
            Some(rival) => find_partner(rival, goes, seen, partners),
        };
        if is_free {
            partners[other] = Some(own);
            return true;
        }
    }
    false
}
