//! Panics: where code of the system panicked, counted, whether a property minds or not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::count;
use crate::paragraph::one_line;

/// So many characters of what a panic says are told.
const MESSAGE_MAX: usize = 120;

/// The panics at one place of the code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panics {
    /// Where, as `src/relay.rs:52:9`; empty if that is not known.
    pub place: String,
    /// In how many seeds.
    pub seeds: u64,
    /// The lowest of those seeds.
    #[serde(with = "crate::seed")]
    pub first_seed: u64,
    /// The host that panicked first in that seed.
    pub host: String,
    /// What it said.
    pub message: String,
}

impl Panics {
    /// Adds the panics of higher seeds to those of lower ones, in the order of their places.
    pub fn add(all: &mut Vec<Self>, later: &[Self]) {
        for own in later {
            match all.iter_mut().find(|known| known.place == own.place) {
                Some(known) => known.seeds += own.seeds,
                None => all.push(own.clone()),
            }
        }
        all.sort_by(|a, b| a.place.cmp(&b.place));
    }
}

impl fmt::Display for Panics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.place.as_str() {
            "" => String::new(),
            place => format!(" at {}", one_line(place)),
        };
        let message = one_line(&self.message);
        let mut told: String = message.chars().take(MESSAGE_MAX).collect();
        if told.len() < message.len() {
            told.push('…');
        }
        write!(
            formatter,
            "{} panicked{at} in {}, first in {}: {told}",
            one_line(&self.host),
            count(self.seeds, "seed"),
            crate::seed::text(self.first_seed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Panics;

    fn once(place: &str, seed: u64, message: &str) -> Panics {
        Panics {
            place: place.to_owned(),
            seeds: 1,
            first_seed: seed,
            host: "relay".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn panics_at_one_place_are_one_line_with_the_first_of_them() {
        let mut all = Vec::new();
        for (place, seed, message) in [
            ("src/relay.rs:52:9", 3, "min > max.\nmin = 10"),
            ("", 4, "a value that is not text"),
            ("src/relay.rs:52:9", 7, "min > max. min = 11"),
            ("src/inbox.rs:1:1", 7, &"x".repeat(200)),
        ] {
            Panics::add(&mut all, &[once(place, seed, message)]);
        }
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        let long = format!(
            "relay panicked at src/inbox.rs:1:1 in 1 seed, first in 0x00000007: {}…",
            "x".repeat(120)
        );
        assert_eq!(
            lines,
            [
                "relay panicked in 1 seed, first in 0x00000004: a value that is not text",
                &long,
                "relay panicked at src/relay.rs:52:9 in 2 seeds, first in 0x00000003: min > max. min = 10",
            ]
        );
    }
}
