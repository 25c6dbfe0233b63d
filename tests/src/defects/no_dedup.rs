//! `no-dedup`: a consumer that takes every delivery for a new event.

use reference_system::event::Event;
use reference_system::inbox::Inbox;
use reference_system::ports::Transaction;

/// An inbox that remembers nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoDedup;

impl Inbox for NoDedup {
    async fn knows<T: Transaction>(&self, _: &mut T, _: &str, _: &str) -> sqlx::Result<bool> {
        Ok(false)
    }

    async fn first_time<T: Transaction>(
        &self,
        _: &mut T,
        _: &str,
        _: &Event,
    ) -> sqlx::Result<bool> {
        Ok(true)
    }
}
