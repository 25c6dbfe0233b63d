//! Deliveries of the JetStream profile.
//!
//! The rules are those of the NATS documentation, page "Consumers": a message is delivered again
//! only after its lease ended (`AckWait`) or its consumer asked for it, never after an
//! acknowledgement; new messages come in order, and no more of them than `MaxAckPending` are open. From "Message
//! Deduplication": an id is not taken twice within the duplicate window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::JetStreamSettings;
use crate::broker::rules::{Lane, Rules, Violation};
use crate::event::{Event, SettleOutcome, Settlement, What};

/// By how much the times of two hosts may be apart although they are next to each other.
const TICK_MAX: Duration = Duration::from_millis(100);

/// By how much a lease may seem to end too early because of the simulation's tick.
const LEASE_TOLERANCE: Duration = Duration::from_millis(5);

/// The durable consumer of one group in one partition.
#[derive(Default)]
struct Consumer {
    /// The first offset that was never delivered.
    next: u64,
    /// Delivered and not acknowledged.
    pending: BTreeMap<u64, Lease>,
    acknowledged: BTreeSet<u64>,
}

/// One delivered and unacknowledged message.
struct Lease {
    since: Duration,
    /// Whether it is over, and a redelivery due.
    is_over: bool,
}

/// What the rules have to know of what was read so far.
pub(super) struct Reading<'h> {
    pending_max: usize,
    lease_min: Duration,
    window: Duration,
    id_header: &'h str,
    lanes: BTreeMap<Lane<'h>, Consumer>,
    /// When each id was last taken, by topic.
    ids: BTreeMap<(&'h str, &'h str), Duration>,
}

impl<'h> Reading<'h> {
    pub(super) fn new(settings: &'h JetStreamSettings) -> Self {
        Reading {
            pending_max: settings.unsettled_max() as usize,
            lease_min: settings.ack_wait.saturating_sub(LEASE_TOLERANCE),
            window: settings.duplicate_window.saturating_sub(TICK_MAX),
            id_header: &settings.message_id_header,
            lanes: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }
}

impl<'h> Rules<'h> for Reading<'h> {
    fn read(&mut self, event: &'h Event) -> Option<Violation<'h>> {
        match &event.what {
            What::Published { position, message } => {
                let id = message.headers.get(self.id_header)?;
                let last = self.ids.insert((&position.topic, id), event.at)?;
                let is_early = event.at < last + self.window;
                is_early.then(|| Violation {
                    rule: "taken-again",
                    position,
                    summary: format!(
                        "{id} was taken again as {position} within the duplicate window"
                    ),
                })
            }
            What::Delivered {
                group, position, ..
            } => {
                let pending_max = self.pending_max;
                let consumer = self.lanes.entry(Lane::of(group, position)).or_default();
                let (rule, fault) = consumer.deliver(position.offset, event.at, pending_max)?;
                Some(Violation {
                    rule,
                    position,
                    summary: format!("{position} was delivered to {group} {fault}"),
                })
            }
            What::LeaseExpired { group, position } => {
                let lease_min = self.lease_min;
                let consumer = self.lanes.entry(Lane::of(group, position)).or_default();
                let lasted = consumer.make_due(position.offset, event.at)?;
                (lasted < lease_min).then(|| Violation {
                    rule: "lease-cut-short",
                    position,
                    summary: format!(
                        "{position} was taken back from {group} after {} ms, before its lease was over",
                        lasted.as_millis()
                    ),
                })
            }
            What::Settled {
                group,
                position,
                settlement,
                outcome: SettleOutcome::Accepted,
                ..
            } => {
                let consumer = self.lanes.entry(Lane::of(group, position)).or_default();
                match settlement {
                    Settlement::Ack => {
                        consumer.pending.remove(&position.offset);
                        consumer.acknowledged.insert(position.offset);
                    }
                    Settlement::Retry => {
                        consumer.make_due(position.offset, event.at);
                    }
                }
                None
            }
            _ => None,
        }
    }
}

impl Consumer {
    /// Ends a lease, and says how long it lasted; `None` if there was none that still ran.
    fn make_due(&mut self, offset: u64, at: Duration) -> Option<Duration> {
        let lease = self.pending.get_mut(&offset)?;
        let ran = !lease.is_over;
        lease.is_over = true;
        ran.then(|| at.saturating_sub(lease.since))
    }

    fn deliver(
        &mut self,
        offset: u64,
        at: Duration,
        pending_max: usize,
    ) -> Option<(&'static str, String)> {
        if self.acknowledged.contains(&offset) {
            return Some((
                "settled-again",
                "again after its acknowledgement".to_owned(),
            ));
        }
        let lease = Lease {
            since: at,
            is_over: false,
        };
        if let Some(last) = self.pending.insert(offset, lease) {
            let fault = "again while its lease still ran";
            return (!last.is_over).then(|| ("leased-twice", fault.to_owned()));
        }
        let expected = self.next;
        self.next = self.next.max(offset + 1);
        if offset != expected {
            return Some(("skips", format!("out of turn, skipping {expected}")));
        }
        let fault = || format!("when {pending_max} were open, the most that the consumer takes");
        (self.pending.len() > pending_max).then(|| ("too-many-open", fault()))
    }
}
