//! Lanes: one partition as one group sees it, and how far the group has acknowledged it.

use std::collections::BTreeMap;

use crate::broker::Lane;
use crate::history::{Event, History, SettleOutcome, Settlement, What};
use crate::message::Position;

/// An acknowledgement that the broker took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgement<'h> {
    pub(super) index: u64,
    pub(super) host: &'h str,
}

/// The acknowledgements of a history that the broker took, by offset.
#[derive(Debug)]
pub(super) struct Acknowledgements<'h> {
    cumulative: bool,
    lanes: BTreeMap<Lane<'h>, BTreeMap<u64, Acknowledgement<'h>>>,
}

impl<'h> Acknowledgements<'h> {
    pub(super) fn none(history: &History) -> Self {
        Acknowledgements {
            cumulative: history
                .description
                .profile
                .capabilities()
                .settles_cumulatively,
            lanes: BTreeMap::new(),
        }
    }

    /// Takes one more event into account.
    pub(super) fn read(&mut self, event: &'h Event) {
        if let What::Settled {
            group,
            position,
            settlement: Settlement::Ack,
            outcome: SettleOutcome::Accepted,
            ..
        } = &event.what
        {
            let lane = self.lanes.entry(Lane::of(group, position)).or_default();
            lane.entry(position.offset).or_insert(Acknowledgement {
                index: event.index,
                host: &event.host,
            });
        }
    }

    /// The acknowledgement after which a group is not handed a position any more.
    pub(super) fn settling<'s>(
        &'s self,
        group: &'s str,
        position: &'s Position,
    ) -> Option<&'s Acknowledgement<'s>> {
        let lane = self.lanes.get(&Lane::of(group, position))?;
        let last = match self.cumulative {
            true => u64::MAX,
            false => position.offset,
        };
        // Commits only go forward, so the lowest offset that covers the position came first.
        let (_, first) = lane.range(position.offset..=last).next()?;
        Some(first)
    }
}
