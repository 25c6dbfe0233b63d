//! Modes: who has to read whom before a new version is let in.

use std::fmt;
use std::str::FromStr;

use super::difference::Difference;
use super::reading::differences;
use super::schema::Schema;

/// A compatibility mode, as Confluent Schema Registry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is compared.
    None,
    /// Readers of the new version read what was written to the last one: consumers are deployed first.
    Backward,
    /// The same for all earlier versions.
    BackwardTransitive,
    /// Readers of the last version read what is written to the new one: producers are deployed first.
    Forward,
    /// The same for all earlier versions.
    ForwardTransitive,
    /// Both.
    Full,
    /// Both, for all earlier versions.
    FullTransitive,
}

/// The modes by their names.
const NAMES: [(&str, Mode); 7] = [
    ("NONE", Mode::None),
    ("BACKWARD", Mode::Backward),
    ("BACKWARD_TRANSITIVE", Mode::BackwardTransitive),
    ("FORWARD", Mode::Forward),
    ("FORWARD_TRANSITIVE", Mode::ForwardTransitive),
    ("FULL", Mode::Full),
    ("FULL_TRANSITIVE", Mode::FullTransitive),
];

/// A text that names no mode.
#[derive(Debug, thiserror::Error)]
#[error("there is no compatibility level `{0}`")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let named = NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        named
            .map(|(_, mode)| *mode)
            .ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().find(|(_, mode)| mode == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

impl Mode {
    /// Whether readers of a new version have to read what was written before.
    fn looks_back(self) -> bool {
        !matches!(self, Self::None | Self::Forward | Self::ForwardTransitive)
    }

    /// Whether readers of earlier versions have to read what will be written.
    fn looks_forward(self) -> bool {
        !matches!(self, Self::None | Self::Backward | Self::BackwardTransitive)
    }

    /// Whether all earlier versions count, not only the last one.
    #[must_use]
    pub fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }

    /// What keeps `proposed` from being let in beside each of `earlier`; empty if nothing does.
    #[must_use]
    pub fn check<'e>(
        self,
        proposed: &Schema,
        earlier: impl IntoIterator<Item = &'e Schema>,
    ) -> Vec<Difference> {
        let mut found = Vec::new();
        for earlier in earlier {
            if self.looks_back() {
                found.extend(differences(earlier, proposed));
            }
            if self.looks_forward() {
                found.extend(differences(proposed, earlier));
            }
        }
        found
    }
}

/// Which of the earlier versions a proposed one is compared with.
pub trait Scope: Send + Sync {
    /// Picks from `earlier`, the oldest first.
    fn compared<'e>(&self, mode: Mode, earlier: &'e [Schema]) -> &'e [Schema];
}

/// All of them in a transitive mode, the last one in any other.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsModeSays;

impl Scope for AsModeSays {
    fn compared<'e>(&self, mode: Mode, earlier: &'e [Schema]) -> &'e [Schema] {
        match mode.is_transitive() {
            true => earlier,
            false => &earlier[earlier.len().saturating_sub(1)..],
        }
    }
}
