//! Shards: which part of a sweep's seeds one machine of several runs.
//!
//! The seeds of each scenario are cut into blocks that follow one another, so that a shard's seeds can be named by
//! the first and their number. The blocks differ by one seed at most.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of several shares, written `2/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    number: u64,
    of: u64,
}

/// A text that names no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a shard: expected M/N with M from 1 to N, such as 2/5")]
pub struct BadShard(String);

impl Shard {
    /// Which one it is, from 1 on.
    #[must_use]
    pub fn number(self) -> u64 {
        self.number
    }

    /// Of how many.
    #[must_use]
    pub fn of(self) -> u64 {
        self.of
    }

    /// Whether it is the first, which does what is to be done once.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.number == 1
    }

    /// Its part of so many seeds: how many come before it, and how many are its own.
    #[must_use]
    pub fn block(self, seeds: u64) -> (u64, u64) {
        let end = |number: u64| {
            let end = u128::from(seeds) * u128::from(number) / u128::from(self.of);
            u64::try_from(end).unwrap_or(seeds)
        };
        let begin = end(self.number - 1);
        (begin, end(self.number) - begin)
    }
}

impl FromStr for Shard {
    type Err = BadShard;

    fn from_str(text: &str) -> Result<Self, BadShard> {
        let bad = || BadShard(text.to_owned());
        let (number, of) = text.split_once('/').ok_or_else(bad)?;
        let number = number.parse().map_err(|_| bad())?;
        let of = of.parse().map_err(|_| bad())?;
        match (1..=of).contains(&number) {
            true => Ok(Shard { number, of }),
            false => Err(bad()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.of)
    }
}

impl TryFrom<String> for Shard {
    type Error = BadShard;

    fn try_from(text: String) -> Result<Self, BadShard> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn blocks_follow_one_another_and_leave_no_seed_out() {
        for (seeds, of) in [(40, 3), (1, 1), (7, 7), (1_000, 16), (u64::MAX, 3)] {
            let mut next = 0;
            for number in 1..=of {
                let (before, own) = Shard { number, of }.block(seeds);
                assert_eq!(before, next);
                assert!(own.abs_diff(seeds / of) <= 1);
                next += own;
            }
            assert_eq!(next, seeds);
        }
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for bad in ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b"] {
            let error = bad.parse::<Shard>().expect_err(bad).to_string();
            assert!(error.starts_with(&format!("`{bad}` is not a shard")));
        }
        assert_eq!("2/5".parse::<Shard>().expect("a shard").to_string(), "2/5");
    }
}
