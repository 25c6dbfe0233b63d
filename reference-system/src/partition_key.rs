//! Which key an event is published under; the broker keeps the order of one key only.

use crate::event::Event;

/// Chooses the partition key of an event.
pub trait PartitionKey: Send + Sync {
    /// The key of `event`.
    fn key(&self, event: &Event) -> String;
}

/// The entity's id: everything that happens to one entity stays in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByEntity;

impl PartitionKey for ByEntity {
    fn key(&self, event: &Event) -> String {
        event.entity.clone()
    }
}
