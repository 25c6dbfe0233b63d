//! Where new ids come from.

use uuid::{NoContext, Timestamp, Uuid};

/// A source of unique ids.
pub trait Identifiers: Clone + Send + Sync + 'static {
    /// An id that was never given before.
    fn next(&self) -> Uuid;
}

/// Ids of version 7: ordered by time, so that indexes stay compact.
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidV7;

impl Identifiers for UuidV7 {
    fn next(&self) -> Uuid {
        // Without the counter that `Uuid::now_v7` shares within a process: nothing here needs the order of two ids of
        // one millisecond, and without it an id depends on clock and random bytes alone.
        Uuid::new_v7(Timestamp::now(NoContext))
    }
}
