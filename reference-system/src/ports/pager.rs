//! The pager: who is told that something is wrong, and that it is over. Every word carries an idempotency key: a repeated
//! key is not told again.
//!
//! It carries what was decided elsewhere, and knows no thresholds.

mod http;
mod logging;

use std::collections::BTreeMap;

use async_trait::async_trait;

pub use http::HttpPager;
pub use logging::LoggingPager;

/// Whether an alert is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something is wrong.
    Firing,
    /// It is over.
    Resolved,
}

impl Status {
    /// `firing` or `resolved`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What people are told of an alert, once when it fires and once when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The alert's name, such as `ParkedEvents`.
    pub alert: &'static str,
    /// What it is about, by the names of its labels.
    pub labels: BTreeMap<&'static str, String>,
    /// Whether it is on.
    pub status: Status,
    /// One sentence with the figures.
    pub summary: String,
    /// Since when it is in this state, in milliseconds since 1970.
    pub since_ms: i64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PagerError {
    /// The pager gave no answer; people may have been told.
    #[error("pager unavailable: {0}")]
    Unavailable(String),
}

/// A pager.
#[async_trait]
pub trait Pager: Send + Sync {
    /// Tells people, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; repeat with the same key.
    async fn page(&self, idempotency_key: &str, notice: &Notice) -> Result<(), PagerError>;
}
