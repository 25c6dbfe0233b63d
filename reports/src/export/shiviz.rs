//! A run as a log with vector clocks, as ShiViz reads it: a line for what happened, and one for the host and its clock.
//!
//! The parser of that log is `(?<event>.*)\n(?<host>\S*) (?<clock>{.*})`, which ShiViz offers at first. A clock grows by one
//! with each event of its host, and takes over what it learns from a message that arrives.

use std::collections::BTreeMap;

use crate::paragraph::one_line;
use crate::story::{Fate, Story};
use crate::timeline::RowKind;

type Clock = BTreeMap<usize, u64>;

/// The run as text. Log lines are left out.
#[must_use]
pub fn render(story: &Story) -> String {
    let mut clocks: BTreeMap<usize, Clock> = BTreeMap::new();
    let mut sent: BTreeMap<u64, Clock> = BTreeMap::new();
    let mut log = String::new();
    for event in story
        .events
        .iter()
        .filter(|event| event.kind != RowKind::Log)
    {
        let clock = clocks.entry(event.host).or_default();
        *clock.entry(event.host).or_default() += 1;
        match event.arrow {
            Some(arrow) if arrow.fate == Fate::Published => {
                sent.insert(event.index, clock.clone());
            }
            Some(arrow) if arrow.fate != Fate::Lost => {
                for (host, count) in sent.get(&arrow.from).into_iter().flatten() {
                    let own = clock.entry(*host).or_default();
                    *own = (*own).max(*count);
                }
            }
            _ => {}
        }
        let told: Vec<String> = clock
            .iter()
            .map(|(host, count)| format!("\"{}\":{count}", name(story, *host)))
            .collect();
        log += &format!(
            "{}\n{} {{{}}}\n",
            one_line(&event.text),
            name(story, event.host),
            told.join(",")
        );
    }
    log
}

/// A host's name as one word, and no other host's: what cannot be in a word is its number in hexadecimal behind a `%`.
fn name(story: &Story, lane: usize) -> String {
    let name = story.lanes.get(lane).map_or("", |own| own.name.as_str());
    let is_plain = |c: char| !c.is_whitespace() && !"\"\\%".contains(c);
    name.chars().fold(String::new(), |mut word, c| {
        match is_plain(c) {
            true => word.push(c),
            false => word += &format!("%{:x}", u32::from(c)),
        }
        word
    })
}

#[cfg(test)]
mod tests {
    use super::name;
    use crate::story::{Lane, LaneKind, Story};

    #[test]
    fn hosts_with_odd_names_stay_apart() {
        let lane = |name: &str| Lane {
            name: name.to_owned(),
            kind: LaneKind::Host,
        };
        let story = Story {
            lanes: ["a b", "a_b", "a%20b", "a\"b"].map(lane).to_vec(),
            ..Story::default()
        };
        let names: Vec<String> = (0..4).map(|own| name(&story, own)).collect();
        assert_eq!(names, ["a%20b", "a_b", "a%2520b", "a%22b"]);
    }
}
