//! The seed: one number that decides everything a run does.
//!
//! A seed forks into named streams of random numbers. Each subsystem draws from its own, so that
//! switching one off does not shift what the others draw. Nothing here reads entropy from the
//! operating system.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The number that a whole run follows from.
///
/// Printed as `0x` and at least eight hexadecimal digits, read back from that form or from a plain
/// decimal number. In JSON it is a string, because JavaScript has no 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// Thirty-two bytes that depend on this seed and on `name` only.
    pub fn bytes(self, name: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("stormglass 2026 seed stream");
        hasher.update(&self.0.to_le_bytes());
        hasher.update(name.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// An independent stream of random numbers for the subsystem `name`.
    pub fn stream(self, name: &str) -> ChaCha12Rng {
        ChaCha12Rng::from_seed(self.bytes(name))
    }

    /// One number of the stream `name`, for libraries that take a `u64` seed.
    pub fn number(self, name: &str) -> u64 {
        let bytes = self.bytes(name);
        u64::from_le_bytes(bytes[..8].try_into().expect("a slice of eight bytes"))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A text that is neither a decimal nor a `0x` hexadecimal 64-bit number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a seed: expected a number such as 7 or 0x5eed04d2, at most 64 bits")]
pub struct SeedParseError(String);

impl FromStr for Seed {
    type Err = SeedParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The standard parsers accept a sign, which no seed has.
        let number = match text.strip_prefix("0x") {
            _ if text.contains('+') => "".parse(),
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number
            .map(Seed)
            .map_err(|_| SeedParseError(text.to_owned()))
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::Rng;

    #[test]
    fn streams_are_repeatable_and_independent_of_each_other() {
        let draw = |seed: u64, name| Seed(seed).stream(name).next_u64();
        assert_eq!(draw(7, "network"), draw(7, "network"));
        assert_ne!(draw(7, "network"), draw(7, "workload"));
        assert_ne!(draw(7, "network"), draw(8, "network"));
    }

    #[test]
    fn a_seed_reads_back_what_it_prints() {
        for number in [0, 7, 0x5eed_04d2, u64::MAX] {
            assert_eq!(Seed(number).to_string().parse(), Ok(Seed(number)));
        }
        assert_eq!("42".parse(), Ok(Seed(42)));
        for bad in ["", "0x", "-1", "+7", "0x+7", "seven", "0x10000000000000000"] {
            assert!(bad.parse::<Seed>().is_err(), "{bad}");
        }
    }
}
