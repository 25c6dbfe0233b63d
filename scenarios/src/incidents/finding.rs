//! What was found of one claim: figures of each design, in words, and whether the claim holds.

use serde::Serialize;

/// What was found of one claim of the article.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The claim, by its id.
    pub claim: &'static str,
    /// What each design showed.
    pub measured: Vec<Measured>,
    /// Whether the claim holds.
    pub holds: bool,
}

/// What one design showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// The design.
    pub design: String,
    /// Its figures, in words.
    pub figures: String,
}

impl Finding {
    /// A finding of which nothing is said yet.
    pub(super) fn of(claim: &'static str, holds: bool) -> Self {
        Finding {
            claim,
            measured: Vec::new(),
            holds,
        }
    }

    /// The same with the figures of one more design.
    #[must_use]
    pub(super) fn with(mut self, design: &str, figures: String) -> Self {
        self.measured.push(Measured {
            design: design.to_owned(),
            figures,
        });
        self
    }
}
