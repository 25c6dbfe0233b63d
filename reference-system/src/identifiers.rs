//! Where new ids come from.

use uuid::{NoContext, Timestamp, Uuid};

/// An id that was never given before, of version 7: ordered by time, so that indexes stay compact.
#[must_use]
pub fn new_id() -> Uuid {
    // Without the counter that `Uuid::now_v7` shares within a process: nothing here needs the order of two ids of
    // one millisecond.
    Uuid::new_v7(Timestamp::now(NoContext))
}
