//! How a seed is written: `0x` and at least eight hexadecimal digits, for people and in JSON alike.
//!
//! A JSON number would not do: many readers keep numbers as 64-bit floats, which lose the low bits of a seed, and a
//! seed that is off by one bit is another run. Use it on a field as `#[serde(with = "stormglass_reports::seed")]`.
//!
//! It does not read decimal numbers: `16` as hexadecimal and as decimal are two seeds.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// The seed as people see it, such as `0x5eed04d2`.
#[must_use]
pub fn text(seed: u64) -> String {
    format!("0x{seed:08x}")
}

/// Reads what [`text`] writes; any number of digits from 1 to 16, in either case.
///
/// # Errors
/// [`SeedError`] if the text is not `0x` and 1 to 16 hexadecimal digits.
pub fn parse(text: &str) -> Result<u64, SeedError> {
    let refused = || SeedError {
        text: text.to_owned(),
    };
    let digits = text.strip_prefix("0x").ok_or_else(refused)?;
    // `from_str_radix` alone would let a sign pass.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(refused());
    }
    u64::from_str_radix(digits, 16).map_err(|_| refused())
}

/// Writes a seed as a string, for serde's `with`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*seed))
}

/// Reads a seed from a string, for serde's `with`.
///
/// # Errors
/// Those of the deserializer, and what [`parse`] refuses.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(D::Error::custom)
}

/// A text that is no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a seed: expected 0x and 1 to 16 hexadecimal digits, such as 0x5eed04d2")]
pub struct SeedError {
    /// The text that was refused.
    text: String,
}

#[cfg(test)]
mod tests {
    use super::{parse, text};

    #[test]
    fn every_bit_of_a_seed_survives_its_text() {
        for seed in [0, 1, 0x5eed_04d2, (1 << 53) + 1, u64::MAX] {
            assert_eq!(parse(&text(seed)), Ok(seed));
        }
        assert_eq!(text(1), "0x00000001");
        assert_eq!(text(u64::MAX), "0xffffffffffffffff");
    }

    #[test]
    fn what_is_no_seed_is_refused() {
        for wrong in ["", "0x", "17", "0x+1", "0x1g", "0x10000000000000000"] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
