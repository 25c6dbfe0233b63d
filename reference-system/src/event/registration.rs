//! Registration: a producer has its contracts let in by the schema registry before it publishes anything.
//!
//! All versions up to the published one are registered, the oldest first, so that their numbers in the registry are those that
//! the events carry. A registry that cannot be reached is waited for. One that refuses is not argued with: the producer must
//! not publish that version.

use serde_json::Value;
use tokio::time::sleep;

use crate::order::OrderPlacedVersion;
use crate::registry::client::{RegistryClient, RegistryError};
use crate::retry::Backoff;
use crate::shutdown::Shutdown;

use super::catalogue::Entry;
use super::contract::event_type;

/// Why a producer must not publish.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The registry does not let a version in.
    #[error("version {version} of `{subject}` is {reason}")]
    Refused {
        /// The type of event.
        subject: String,
        /// The version.
        version: u32,
        /// Why.
        reason: String,
    },
    /// The registry knows the schema under another number.
    #[error("version {version} of `{subject}` is version {found} in the registry")]
    OtherNumber {
        /// The type of event.
        subject: String,
        /// The version that events would carry.
        version: u32,
        /// The version in the registry.
        found: u32,
    },
    /// The producer has to stop before the registry could be reached.
    #[error("stopped before the contracts were registered")]
    Stopped,
}

/// A version to be registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The type of event.
    pub subject: String,
    /// The version that events carry.
    pub version: u32,
    /// Its schema.
    pub schema: Value,
}

/// What has to be registered before events of `entry` are published in `version`.
pub fn proposals(entry: &Entry, version: u32) -> impl Iterator<Item = Proposal> {
    let versions = entry
        .versions
        .iter()
        .filter(move |own| own.version <= version);
    versions.map(|own| Proposal {
        subject: entry.event_type.to_owned(),
        version: own.version,
        schema: own.schema.clone(),
    })
}

/// What has to be registered where placed orders are announced in `order_placed`, and everything else in its first version.
pub fn published(
    entries: &[Entry],
    order_placed: OrderPlacedVersion,
) -> impl Iterator<Item = Proposal> {
    let version = move |entry: &Entry| match entry.event_type {
        event_type::ORDER_PLACED => order_placed.number(),
        _ => 1,
    };
    entries
        .iter()
        .flat_map(move |entry| proposals(entry, version(entry)))
}

/// Registers every proposal, in their order.
///
/// # Errors
/// See [`RegistrationError`].
pub async fn register(
    registry: &RegistryClient,
    proposals: impl IntoIterator<Item = Proposal>,
    backoff: Backoff,
    shutdown: &Shutdown,
) -> Result<(), RegistrationError> {
    for proposal in proposals {
        let found = register_one(registry, &proposal, backoff, shutdown).await?;
        let Proposal {
            subject, version, ..
        } = proposal;
        if found != version {
            tracing::error!(subject, version, found, "registered under another number");
            return Err(RegistrationError::OtherNumber {
                subject,
                version,
                found,
            });
        }
        tracing::info!(subject, version, "registered");
    }
    Ok(())
}

async fn register_one(
    registry: &RegistryClient,
    proposal: &Proposal,
    backoff: Backoff,
    shutdown: &Shutdown,
) -> Result<u32, RegistrationError> {
    let (subject, version) = (&proposal.subject, proposal.version);
    let mut failures = 0;
    loop {
        match registry.register(subject, &proposal.schema).await {
            Ok(found) => return Ok(found),
            Err(error @ RegistryError::Refused(_)) => {
                tracing::error!(subject, version, %error, "must not be published");
                return Err(RegistrationError::Refused {
                    subject: subject.clone(),
                    version,
                    reason: error.to_string(),
                });
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(subject, version, %error, failures, "registering again");
                let wait = sleep(backoff.delay(failures));
                if shutdown.unless_it_comes(wait).await.is_none() {
                    return Err(RegistrationError::Stopped);
                }
            }
        }
    }
}
