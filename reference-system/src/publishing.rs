//! How an event gets from a committed transaction to the broker.
//!
//! A pattern has two moments: inside the transaction that changes the state, and after its commit.

mod direct;
mod outbox;
mod thin;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::event::Event;

pub use direct::Direct;
pub use outbox::Outbox;
pub use thin::Thin;

/// A way of publishing events.
#[async_trait]
pub trait PublishPattern: Send + Sync {
    /// Takes part in the transaction that changes the state.
    ///
    /// # Errors
    /// When a statement fails; the caller rolls back.
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()>;

    /// Runs once the transaction is known to have committed.
    async fn after_commit(&self, events: &[Event]);
}
