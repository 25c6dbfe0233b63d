//! The ids of messages that a stream has seen lately.
//!
//! Rules:
//! <https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive#message-deduplication>.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The ids of messages, each for the length of a window.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    sequences: BTreeMap<String, u64>,
    order: VecDeque<(Duration, String)>,
}

impl Seen {
    /// The sequence of the message that had this id within `window` before `now`.
    pub(crate) fn find(&mut self, id: &str, window: Duration, now: Duration) -> Option<u64> {
        while self
            .order
            .front()
            .is_some_and(|(since, _)| *since + window <= now)
        {
            if let Some((_, id)) = self.order.pop_front() {
                self.sequences.remove(&id);
            }
        }
        self.sequences.get(id).copied()
    }

    /// Remembers an id that [`Seen::find`] did not know.
    pub(crate) fn insert(&mut self, id: String, sequence: u64, now: Duration) {
        self.order.push_back((now, id.clone()));
        self.sequences.insert(id, sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_the_length_of_the_window() {
        let (mut seen, second) = (Seen::default(), Duration::from_secs(1));
        seen.insert("a".to_owned(), 7, second);
        assert_eq!(seen.find("a", second, second), Some(7));
        assert_eq!(seen.find("b", second, second), None);
        assert_eq!(
            seen.find("a", second, second * 2 - Duration::from_nanos(1)),
            Some(7)
        );
        assert_eq!(seen.find("a", second, second * 2), None);
        assert!(seen.order.is_empty() && seen.sequences.is_empty());
    }
}
