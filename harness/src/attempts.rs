//! Attempts: how often a consumer promises to try what cannot be handled before it parks it.
//!
//! It says what was promised; whether the promise was kept is for `dlq-routing`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many failed attempts a poison message is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempts {
    /// It is parked after so many, neither sooner nor later, whatever restarts come between. This
    /// needs a count that outlives the consumer: a table, or the broker's own number of deliveries.
    Exactly(u32),
    /// No life of a consumer, from one start of its host to the next, sees more than so many. A count
    /// in memory keeps this, such as that of Spring Kafka's `DefaultErrorHandler`.
    AtMostPerLife(u32),
}

impl Attempts {
    /// The number, whatever it counts over.
    pub fn limit(self) -> u32 {
        match self {
            Attempts::Exactly(limit) | Attempts::AtMostPerLife(limit) => limit,
        }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Attempts::Exactly(5)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempts::Exactly(limit) => write!(f, "exactly {limit}"),
            Attempts::AtMostPerLife(limit) => write!(f, "at most {limit} per life"),
        }
    }
}
