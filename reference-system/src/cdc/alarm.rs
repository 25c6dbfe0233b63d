//! The alarm: said once when a log has grown too long, and once when it is short again.
//!
//! A log that nobody confirms is kept by the database until its disk is full, so that a capture which stands still ends the
//! services in time. It decides nothing: to drop the log instead is for an operator, who then loses events.

/// Whether a log is too long.
pub(super) struct Alarm {
    longest: u64,
    is_given: bool,
}

impl Alarm {
    /// Given while a log is longer than `longest`.
    pub(super) fn above(longest: u64) -> Self {
        Self {
            longest,
            is_given: false,
        }
    }

    /// Looks at how long the log is now, and tells whether that has changed what was last said.
    pub(super) fn look(&mut self, backlog: u64) -> bool {
        let (is_too_long, longest) = (backlog > self.longest, self.longest);
        if is_too_long == self.is_given {
            return false;
        }
        self.is_given = is_too_long;
        match is_too_long {
            true => tracing::error!(backlog, longest, "the log of changes grows too long"),
            false => tracing::info!(backlog, longest, "the log of changes is short again"),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Alarm;

    #[test]
    fn is_given_once_and_taken_back_once() {
        let mut alarm = Alarm::above(10);
        let said = [10, 11, 12, 10, 0, 11].map(|backlog| alarm.look(backlog));
        assert_eq!(said, [false, true, false, true, false, true]);
    }
}
