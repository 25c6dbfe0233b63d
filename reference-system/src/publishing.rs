//! How an event gets from a committed transaction to the broker.
//!
//! A pattern has two moments: inside the transaction that changes the state, and after its commit.

mod direct;
mod outbox;

use std::future::Future;

use sqlx::AnyConnection;

use crate::event::Event;

pub use direct::Direct;
pub use outbox::Outbox;

/// A way of publishing events.
pub trait PublishPattern: Clone + Send + Sync + 'static {
    /// Takes part in the transaction that changes the state.
    ///
    /// # Errors
    /// When a statement fails; the caller rolls back.
    fn record(
        &self,
        tx: &mut AnyConnection,
        events: &[Event],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Runs once the transaction is known to have committed.
    fn after_commit(&self, events: &[Event]) -> impl Future<Output = ()> + Send;
}
