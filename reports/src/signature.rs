//! Signatures: failures that look alike, counted instead of listed.
//!
//! Two failures look alike if they break the same rule of the same property. The kinds of fault that bit are counted
//! beside, not part of what is compared: under chaos nearly every seed has another set of them, and what matters is which
//! of them bit whenever the rule was broken.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::count;

/// So many seeds are named; the others are only counted.
const EXAMPLES: usize = 5;

/// Failures that look alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The property that was broken, by its id.
    pub property: String,
    /// Which rule of it, empty for a property that has only one.
    #[serde(default)]
    pub rule: String,
    /// How many seeds broke it.
    pub seeds: u64,
    /// The lowest of those seeds, at most five, as texts.
    pub examples: Vec<String>,
    /// By kind of fault: in how many of those seeds at least one bit.
    pub bitten: BTreeMap<String, u64>,
}

impl Signature {
    /// One failure: of a seed, in which these kinds of fault bit.
    #[must_use]
    pub fn once<'a>(
        property: &str,
        rule: &str,
        seed: u64,
        bitten: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            property: property.to_owned(),
            rule: rule.to_owned(),
            seeds: 1,
            examples: vec![crate::seed::text(seed)],
            bitten: bitten
                .into_iter()
                .map(|kind| (kind.to_owned(), 1))
                .collect(),
        }
    }

    /// Adds the failures of seeds that are all higher than those counted so far, if they look alike.
    #[must_use]
    pub fn absorb(&mut self, later: &Self) -> bool {
        if (&self.property, &self.rule) != (&later.property, &later.rule) {
            return false;
        }
        self.seeds += later.seeds;
        self.examples.extend(later.examples.iter().cloned());
        self.examples.truncate(EXAMPLES);
        for (kind, seeds) in &later.bitten {
            *self.bitten.entry(kind.clone()).or_default() += seeds;
        }
        true
    }

    /// Adds signatures of higher seeds to those of lower ones, in the order of property and rule.
    pub fn add(all: &mut Vec<Self>, later: &[Self]) {
        for own in later {
            if !all.iter_mut().any(|known| known.absorb(own)) {
                all.push(own.clone());
            }
        }
        all.sort_by(|a, b| (&a.property, &a.rule).cmp(&(&b.property, &b.rule)));
    }

    /// `duplicate in each, crash in 7`, those that bit most often first.
    fn bites(&self) -> String {
        let mut kinds: Vec<(&String, u64)> = self
            .bitten
            .iter()
            .map(|(kind, seeds)| (kind, *seeds))
            .collect();
        kinds.sort_by_key(|(_, seeds)| std::cmp::Reverse(*seeds));
        let parts = kinds.into_iter().map(|(kind, seeds)| match seeds {
            all if all == self.seeds => format!("{kind} in each"),
            some => format!("{kind} in {some}"),
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.rule.as_str() {
            "" => String::new(),
            rule => format!(" ({rule})"),
        };
        let more = match self.seeds > self.examples.len() as u64 {
            true => ", …",
            false => "",
        };
        write!(
            formatter,
            "{}{rule}: {}: {}{more}",
            self.property,
            count(self.seeds, "seed"),
            self.examples.join(", ")
        )?;
        match self.bites().as_str() {
            "" => Ok(()),
            bites => write!(formatter, "; bit: {bites}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signature;

    #[test]
    fn failures_that_look_alike_are_one_line() {
        let mut all = Vec::new();
        for seed in 1..=7 {
            let kinds = ["duplicate", "crash"];
            let bitten = kinds.into_iter().take(1 + usize::from(seed % 2 == 0));
            Signature::add(
                &mut all,
                &[Signature::once("effect-once", "", seed, bitten)],
            );
        }
        let other = Signature::once("dlq-routing", "parked-again", 9, []);
        Signature::add(&mut all, &[other]);
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "dlq-routing (parked-again): 1 seed: 0x00000009",
                "effect-once: 7 seeds: 0x00000001, 0x00000002, 0x00000003, 0x00000004, 0x00000005, …; \
                 bit: duplicate in each, crash in 3",
            ]
        );
    }
}
