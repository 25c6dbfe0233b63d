//! Progress: how far a long command is, on stderr.
//!
//! On a terminal it is a bar that goes away; elsewhere, as in a CI's log, a line every ten seconds, so that a short command
//! says nothing. It is for who waits: nothing of it is part of a result.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::complain;

/// How long a log is silent between two lines.
const SILENCE: Duration = Duration::from_secs(10);

/// How far a command is.
pub(super) struct Progress {
    bar: ProgressBar,
    total: u64,
    what: &'static str,
    begun: Instant,
    told: Mutex<Told>,
}

/// What was said where there is no terminal.
struct Told {
    steps: u64,
    at: Instant,
    message: String,
}

impl Progress {
    /// Nothing of `total` is done; `what` is what one of them is called.
    pub(super) fn of(total: u64, what: &'static str) -> Self {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(total),
            false => ProgressBar::hidden(),
        };
        let template =
            format!("{{bar:30}} {{pos}}/{{len}} {what}s, {{per_sec}}, {{eta}} left  {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        let now = Instant::now();
        Progress {
            bar,
            total,
            what,
            begun: now,
            told: Mutex::new(Told {
                steps: 0,
                at: now,
                message: String::new(),
            }),
        }
    }

    /// One more is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.steps += 1;
        self.tell(&mut told);
    }

    /// What is being done now.
    pub(super) fn say(&self, message: &str) {
        self.bar.set_message(message.to_owned());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        message.clone_into(&mut told.message);
        self.tell(&mut told);
    }

    /// It is over: the bar goes away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes a line if the last one is long enough ago and there is no bar.
    fn tell(&self, told: &mut Told) {
        if !self.bar.is_hidden() || told.at.elapsed() < SILENCE {
            return;
        }
        told.at = Instant::now();
        let line = line(told.steps, self.total, self.what, self.begun.elapsed());
        complain(&format!("stormglass: {line}: {}", told.message));
    }
}

/// `340 of 1350 runs, 12.1 a second, about 83 s left`.
fn line(done: u64, total: u64, what: &str, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = done as f64 / seconds.max(f64::EPSILON);
    let left = match done {
        0 => String::new(),
        _ => {
            let left = total.saturating_sub(done) as f64 / rate;
            format!(", {rate:.1} a second, about {left:.0} s left")
        }
    };
    format!("{done} of {total} {what}s{left}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::line;

    #[test]
    fn a_line_says_rate_and_what_is_left() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            line(40, 100, "run", ten),
            "40 of 100 runs, 4.0 a second, about 15 s left"
        );
        assert_eq!(line(0, 100, "run", ten), "0 of 100 runs");
    }
}
