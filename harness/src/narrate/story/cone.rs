//! The causal cone of a failure: what its proof came of, back to the beginning, and the faults that bit.

use std::collections::BTreeSet;

use super::messages::Messages;
use crate::checker::Witness;
use crate::history::{History, What};

/// The events that the proof of a failure depends on, by index.
pub(super) fn cone(history: &History, witness: &Witness, messages: &Messages<'_>) -> BTreeSet<u64> {
    let faults = history.events.iter().filter(|event| {
        matches!(
            event.what,
            What::FaultBit { .. } | What::HostCrashed | What::HostStopped { .. }
        )
    });
    let faults = faults.map(|event| event.index);
    let before = faults.filter(|index| *index <= witness.index);
    let proof = witness.chain.iter().copied().chain([witness.index]);
    let mut left: Vec<u64> = proof.chain(before).collect();
    let mut cone = BTreeSet::new();
    while let Some(index) = left.pop() {
        if cone.insert(index) {
            left.extend(messages.cause_of(index));
        }
    }
    cone
}
