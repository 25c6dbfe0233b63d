//! What a service supplies to be a consumer: which events it handles, and their effects.

use async_trait::async_trait;
use sqlx::AnyConnection;
use sqlx::error::ErrorKind;

use crate::database::Database;
use crate::event::{DecodeError, Event, NewEvent};

/// The effects of one consumer.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The consumer's name, which is also the name of its group.
    fn consumer(&self) -> &'static str;

    /// The topics it subscribes to.
    fn topics(&self) -> &'static [&'static str];

    /// The types of events it handles; any other is acknowledged without effect.
    fn handles(&self) -> &'static [&'static str];

    /// Does what has to happen outside of the transaction, such as a call to another company, under an idempotency key:
    /// it happens again when the transaction that follows is lost. Gives what is left to do within it.
    ///
    /// # Errors
    /// See [`Failure`].
    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure>;
}

/// What an event is about to do.
#[async_trait]
pub trait Prepared: Send {
    /// Changes the service's state within `tx`, for the event that it was prepared for.
    ///
    /// # Errors
    /// See [`Failure`]; the transaction is rolled back.
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure>;
}

/// What an event did.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The state has changed.
    Applied {
        /// What changed, in a few words; the journal's `effect`.
        effect: &'static str,
        /// The event that announces it, if any.
        announces: Option<NewEvent>,
    },
    /// The event came too late to be applied.
    Discarded {
        /// Why, for the audit entry.
        reason: String,
    },
}

/// Why an event had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The fault is in the infrastructure and will pass; the message is not to blame.
    #[error("{0}")]
    Transient(String),
    /// The message cannot be handled, however often it is tried.
    #[error("{0}")]
    Permanent(String),
    /// The message is whole, but in a version that is not known here: no further attempt is needed to tell.
    #[error("{0}")]
    UnknownVersion(String),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let kind = error.as_database_error().map(|error| error.kind());
        match kind {
            // The message asks for a state that must not exist; no later attempt can change that.
            Some(ErrorKind::CheckViolation | ErrorKind::NotNullViolation) => {
                Self::Permanent(error.to_string())
            }
            _ => Self::Transient(error.to_string()),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::SchemaVersion { .. } => Self::UnknownVersion(error.to_string()),
            _ => Self::Permanent(error.to_string()),
        }
    }
}
