//! The swarm: which kinds of fault one seed has at all.
//!
//! Plans that mix every kind hide what a few kinds together would show; so every seed has a random
//! subset of the kinds that its scenario allows (swarm testing, Groce and others, ISSTA 2012).

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::schedule::FaultKind;

/// The kinds of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm(Vec<FaultKind>);

impl Swarm {
    /// The kinds in it.
    pub fn kinds(&self) -> impl Iterator<Item = FaultKind> {
        self.0.iter().copied()
    }
}

/// Every kind of these.
pub(super) fn of(kinds: &[FaultKind]) -> Swarm {
    Swarm(kinds.to_vec())
}

/// Non-empty subsets of `allowed`, or the empty one where nothing is allowed.
pub(super) fn swarm(allowed: &[FaultKind]) -> BoxedStrategy<Swarm> {
    match allowed.len() {
        0 => Just(Swarm(Vec::new())).boxed(),
        many => subsequence(allowed.to_vec(), 1..=many)
            .prop_map(Swarm)
            .boxed(),
    }
}
