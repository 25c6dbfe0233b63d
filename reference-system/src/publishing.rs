//! How an event gets from a committed transaction to the broker.
//!
//! A pattern has two moments: inside the transaction that changes the state, and after its commit. Services know no more of
//! it. `outbox` needs a process that publishes what it has written: the [`relay`](crate::relay), or, behind the same rows, the
//! [capture](crate::cdc) of the database's changes. `in_process`, as
//! the [monolith](crate::monolith) has it, and [`synchronous`](crate::synchronous) do without a broker. What is published
//! to may be asked again ([`Retrying`]) and be left alone while it fails ([`Guarded`]): both are brokers around a broker.

pub mod breaker;
mod direct;
mod fat;
mod guarded;
mod in_process;
mod outbox;
mod retrying;
mod thin;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::event::Event;

pub use direct::Direct;
pub use fat::{Entity, Fat};
pub use guarded::Guarded;
pub use in_process::{InProcess, Queues};
pub use outbox::Outbox;
pub use retrying::Retrying;
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
