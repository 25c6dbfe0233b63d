//! How times and counts are worded for people.
//!
//! It only words whole numbers; floating point would make the last digit a matter of the order of additions.

/// A time in units that a reader can picture.
struct Figure {
    /// The number, at most one digit after the point.
    number: String,
    /// The unit in short, as for time on the wall clock.
    short: &'static str,
    /// The unit as a word, as for virtual time.
    long: &'static str,
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

fn figure(ms: u64) -> Figure {
    // Each unit begins where the one below would already be rounded up to it: 59.96 s is one minute.
    let (unit_ms, short, long) = match ms {
        0..1_000 => {
            return Figure {
                number: ms.to_string(),
                short: "ms",
                long: "milliseconds",
            };
        }
        1_000..59_950 => (1_000, "s", "seconds"),
        59_950..3_597_000 => (MINUTE_MS, "min", "minutes"),
        3_597_000..172_620_000 => (HOUR_MS, "h", "hours"),
        _ => (DAY_MS, "days", "days"),
    };
    let tenths = (u128::from(ms) * 10 + u128::from(unit_ms / 2)) / u128::from(unit_ms);
    Figure {
        number: format!("{}.{}", tenths / 10, tenths % 10),
        short,
        long,
    }
}

/// A time on the wall clock, such as `6.7 s`.
pub(crate) fn wall_time(ms: u64) -> String {
    let Figure { number, short, .. } = figure(ms);
    format!("{number} {short}")
}

/// A time inside simulations, such as `4.1 virtual days`.
pub(crate) fn virtual_time(ms: u64) -> String {
    let Figure { number, long, .. } = figure(ms);
    format!("{number} virtual {long}")
}

/// A point in virtual time, such as `3.102 s`, which lines up when it is right-aligned.
pub(crate) fn instant(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}

/// A count with its noun, such as `1 seed` or `400 seeds`.
pub(crate) fn count(n: u64, singular: &str) -> String {
    match n {
        1 => format!("1 {singular}"),
        _ => format!("{n} {singular}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{virtual_time, wall_time};

    #[test]
    fn a_time_is_worded_in_the_unit_that_fits() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (6_680, "6.7 s"),
            (59_949, "59.9 s"),
            (59_950, "1.0 min"),
            (3_596_999, "59.9 min"),
            (3_597_000, "1.0 h"),
            (172_619_999, "47.9 h"),
            (172_620_000, "2.0 days"),
            (354_240_000, "4.1 days"),
        ];
        for (ms, expected) in cases {
            assert_eq!(wall_time(ms), expected, "{ms} ms");
        }
        assert_eq!(virtual_time(354_240_000), "4.1 virtual days");
    }
}
