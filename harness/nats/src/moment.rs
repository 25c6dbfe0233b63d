//! Moments, as the core is told them, and how they are written for clients.

use std::time::Duration;

/// The time of an input: one reading of each of the two clocks that a server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// What has passed since the server's state began. It never steps; all waiting is measured by it.
    pub elapsed: Duration,
    /// The time of day, since 1970 in UTC. It may step; messages are stamped with it.
    pub wall: Duration,
}

const DAY: u64 = 86_400;

/// Writes a time of day as RFC 3339 has it, with as many digits of the second as are needed.
pub(crate) fn rfc3339(wall: Duration) -> String {
    let seconds = wall.as_secs();
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if wall.subsec_nanos() > 0 {
        let digits = format!("{:09}", wall.subsec_nanos());
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Reads what [`rfc3339`] writes, with any offset from UTC. `None` if it is not a time since 1970.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let digits = format!("{:0<9}", &rest[..end.min(9)]);
            (digits.parse().ok()?, &rest[end..])
        }
        None => (0, rest),
    };
    let seconds =
        days(year, month, day) * DAY as i64 + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

/// How many seconds a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
}

/// Year, month and day of a day since 1970. Years are counted from March, so that a leap day is the last of
/// its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The reverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Writes a span of time in the short form that the server's texts use: `1m30s`, `500ms`.
pub(crate) fn span(span: Duration) -> String {
    let (seconds, nanos) = (span.as_secs(), span.subsec_nanos());
    if seconds == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", f64::from(nanos) / 1e3),
            _ => format!("{}ms", f64::from(nanos) / 1e6),
        };
    }
    let rest = (seconds % 60) as f64 + f64::from(nanos) / 1e9;
    match (seconds / 3600, seconds % 3600 / 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_written_and_read() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_735_689_599, 120_000_000, "2024-12-31T23:59:59.12Z"),
            (4_102_444_800, 1, "2100-01-01T00:00:00.000000001Z"),
        ] {
            let wall = Duration::new(seconds, nanos);
            assert_eq!(rfc3339(wall), text);
            assert_eq!(parse_rfc3339(text), Some(wall));
        }
        assert_eq!(
            parse_rfc3339("1970-01-01T02:00:00+02:00"),
            Some(Duration::ZERO)
        );
        for bad in [
            "",
            "yesterday",
            "1969-12-31T23:59:59Z",
            "2024-01-01",
            "2024-01-01T00:00:00",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_five_centuries_is_read_as_it_was_written() {
        for day in 0..182_500 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year as i64, month as i64, of_month as i64), day as i64);
        }
    }

    #[test]
    fn spans_are_written_short() {
        for (millis, text) in [
            (0, "0s"),
            (500, "500ms"),
            (1_500, "1.5s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
