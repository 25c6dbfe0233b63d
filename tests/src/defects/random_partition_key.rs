//! `random-partition-key`: events of one entity are spread over all partitions.

use reference_system::event::Event;
use reference_system::partition_key::PartitionKey;

/// The event's own id, as chosen for an even load.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByEventId;

impl PartitionKey for ByEventId {
    fn key(&self, event: &Event) -> String {
        event.id.to_string()
    }
}
