//! What a client was pushed and has not confirmed.
//!
//! The window is that of the product: it begins at a sixteenth of 32 MiB and doubles with each confirmation
//! (<https://github.com/nats-io/nats-server/blob/main/server/consumer.go>).

/// The largest window, in bytes.
const WINDOW_MAX: usize = 32 * 1024 * 1024;

/// The window of a client that confirms what it was pushed.
#[derive(Debug)]
pub(crate) struct Flow {
    /// How many bytes may be unconfirmed; zero if the client does not confirm.
    window: usize,
    /// How many bytes are unconfirmed.
    unconfirmed: usize,
    /// The question that is open: its subject, and how many bytes its answer confirms.
    asked: Option<(String, usize)>,
}

impl Flow {
    /// Of a client that confirms, or not.
    pub(crate) fn new(confirms: bool) -> Self {
        Self {
            window: if confirms { WINDOW_MAX / 16 } else { 0 },
            unconfirmed: 0,
            asked: None,
        }
    }

    /// Whether nothing may be pushed before something is confirmed.
    pub(crate) fn is_full(&self) -> bool {
        self.window > 0 && self.unconfirmed > self.window
    }

    /// Counts a message of `size` bytes. Returns whether it is time to ask for a confirmation.
    pub(crate) fn count(&mut self, size: usize) -> bool {
        if self.window == 0 {
            return false;
        }
        self.unconfirmed += size;
        self.asked.is_none() && self.unconfirmed > self.window / 2
    }

    /// Notes that a confirmation was asked for at `subject`.
    pub(crate) fn asked(&mut self, subject: String) {
        self.asked = Some((subject, self.unconfirmed));
    }

    /// Takes the answer to a question. Returns whether that was the open one.
    pub(crate) fn confirm(&mut self, subject: &str) -> bool {
        let Some((_, size)) = self.asked.take_if(|(asked, _)| asked == subject) else {
            return false;
        };
        self.unconfirmed = self.unconfirmed.saturating_sub(size);
        self.window = (self.window * 2).min(WINDOW_MAX);
        true
    }

    /// The subject of the open question.
    pub(crate) fn open_question(&self) -> Option<&str> {
        self.asked.as_ref().map(|(subject, _)| subject.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_opens_with_the_right_answer() {
        let mut flow = Flow::new(true);
        assert!(!flow.count(WINDOW_MAX / 32));
        assert!(flow.count(1));
        flow.asked("fc.1".to_owned());
        assert!(!flow.count(WINDOW_MAX / 32));
        assert!(flow.is_full());
        assert!(!flow.confirm("fc.0") && flow.is_full());
        assert!(flow.confirm("fc.1") && !flow.is_full());
        assert_eq!(flow.window, WINDOW_MAX / 8);
        assert!(!Flow::new(false).count(usize::MAX));
    }
}
