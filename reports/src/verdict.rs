//! The three words for what became of a property.
//!
//! It does not decide which of them applies, and it carries no witness: that is the harness' own verdict.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of a property: the word alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictWord {
    /// Something could have broken it, and did not.
    Holds,
    /// Something broke it.
    Broken,
    /// Nothing that could have broken it occurred, which is no success.
    Vacuous,
}

impl fmt::Display for VerdictWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Holds => "holds",
            Self::Broken => "broken",
            Self::Vacuous => "vacuous",
        })
    }
}
