//! The digest of a history: a hash chain, one link an event.
//!
//! Two runs of one plan have equal digests, or the harness has a bug.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Event;

/// The chain's value after the last event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of the empty history.
    pub const EMPTY: Digest = Digest([0; 16]);

    /// The digest of a history that has one event more.
    #[must_use]
    pub fn chain(self, event: &Event, buffer: &mut Vec<u8>) -> Digest {
        buffer.clear();
        buffer.extend_from_slice(&self.0);
        // Writing into a vector cannot fail, and every event type is serialisable.
        let bytes = postcard::to_extend(event, std::mem::take(buffer))
            .expect("an event is always serialisable");
        let hash = blake3::hash(&bytes);
        *buffer = bytes;
        let mut link = [0; 16];
        link.copy_from_slice(&hash.as_bytes()[..16]);
        Digest(link)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
