//! `no-dedup`: a consumer that takes every delivery for a new event.

use async_trait::async_trait;
use sqlx::AnyConnection;

use reference_system::event::Event;
use reference_system::inbox::Inbox;

/// An inbox that remembers nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoDedup;

#[async_trait]
impl Inbox for NoDedup {
    async fn knows(&self, _: &mut AnyConnection, _: &str, _: &str) -> sqlx::Result<bool> {
        Ok(false)
    }

    async fn first_time(&self, _: &mut AnyConnection, _: &str, _: &Event) -> sqlx::Result<bool> {
        Ok(true)
    }
}
