//! Where the server under test shows something else than a real one, on purpose.

/// One observation that differs.
pub(crate) struct Difference {
    /// The program, as its path within this suite: `messaging::queue::...`.
    pub(crate) program: &'static str,
    /// What a real server shows.
    pub(crate) real: &'static str,
    /// What the server under test shows instead.
    pub(crate) ours: &'static str,
    /// Why this is meant.
    pub(crate) because: &'static str,
}

/// All that is meant. An entry that no longer differs fails its program.
pub(crate) const DIFFERENCES: &[Difference] = &[];
