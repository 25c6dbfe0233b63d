//! What a consumer has delivered and not settled: leases, redeliveries and the floor below which all is
//! settled.
//!
//! Rules: <https://docs.nats.io/using-nats/developer/develop_jetstream/consumers>, and where that is silent
//! <https://github.com/nats-io/nats-server/blob/main/server/consumer.go>.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::witness::Client;

/// A pair of sequences: the consumer's own count of deliveries, and that of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of the delivery.
    pub(crate) consumer: u64,
    /// The sequence in the stream.
    pub(crate) stream: u64,
}

/// A message that was delivered and is not settled.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// The number of its first delivery.
    pub(crate) delivery: u64,
    /// When it will be delivered again, unless it waits for that already.
    pub(crate) expires: Duration,
    /// Who has it.
    pub(crate) holder: Option<Arc<Client>>,
}

/// What is delivered and not settled.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The last delivery.
    delivered: Position,
    /// All up to here is settled.
    floor: Position,
    leases: BTreeMap<u64, Lease>,
    /// The leases that run, by their end.
    expiries: BTreeSet<(Duration, u64)>,
    /// What is to be delivered again, in order.
    again: VecDeque<u64>,
    /// How often messages were delivered again. It outlives a lease that ended by the limit of deliveries.
    redelivered: BTreeMap<u64, u64>,
}

impl Ledger {
    /// A ledger of a consumer whose first message has a sequence after `start`.
    pub(crate) fn starting_after(start: u64) -> Self {
        let position = Position {
            consumer: 0,
            stream: start,
        };
        Self {
            delivered: position,
            floor: position,
            ..Self::default()
        }
    }

    /// The last delivery.
    pub(crate) fn delivered(&self) -> Position {
        self.delivered
    }

    /// Where all before is settled.
    pub(crate) fn floor(&self) -> Position {
        self.floor
    }

    /// What is delivered and not settled.
    pub(crate) fn leases(&self) -> &BTreeMap<u64, Lease> {
        &self.leases
    }

    /// How many messages were delivered more than once and are not settled.
    pub(crate) fn redelivered_len(&self) -> usize {
        self.redelivered.len()
    }

    /// How often the message was delivered so far, if it was at all.
    pub(crate) fn attempts(&self, sequence: u64) -> u64 {
        1 + self.redelivered.get(&sequence).copied().unwrap_or_default()
    }

    /// Whether deliveries of the message are counted still, though it may have no lease any more.
    pub(crate) fn is_counted(&self, sequence: u64) -> bool {
        self.redelivered.contains_key(&sequence)
    }

    /// The messages that were delivered as often as they may be.
    pub(crate) fn given_up(&self) -> Vec<u64> {
        let counted = self.redelivered.keys().copied();
        counted
            .filter(|sequence| !self.leases.contains_key(sequence))
            .collect()
    }

    /// The message that is to be delivered again next.
    pub(crate) fn next_again(&self) -> Option<u64> {
        self.again.front().copied()
    }

    /// How many messages are to be delivered again.
    pub(crate) fn again_len(&self) -> usize {
        self.again.len()
    }

    /// Counts a delivery that needs no settlement.
    pub(crate) fn deliver_settled(&mut self, sequence: u64) {
        self.advance(sequence);
        self.floor = self.delivered;
    }

    /// Counts a delivery and begins its lease. Returns the number of the delivery.
    pub(crate) fn deliver(
        &mut self,
        sequence: u64,
        expires: Duration,
        holder: Option<Arc<Client>>,
    ) -> u64 {
        self.advance(sequence);
        self.forget_again(sequence);
        let delivery = self.delivered.consumer;
        match self.leases.get_mut(&sequence) {
            Some(lease) => {
                self.expiries.remove(&(lease.expires, sequence));
                (lease.expires, lease.holder) = (expires, holder);
                *self.redelivered.entry(sequence).or_default() += 1;
            }
            None => {
                self.leases.insert(
                    sequence,
                    Lease {
                        delivery,
                        expires,
                        holder,
                    },
                );
            }
        }
        self.expiries.insert((expires, sequence));
        delivery
    }

    fn advance(&mut self, sequence: u64) {
        self.delivered.consumer += 1;
        self.delivered.stream = self.delivered.stream.max(sequence);
    }

    /// Settles one message for good. Returns whether it was not settled before.
    pub(crate) fn settle(&mut self, sequence: u64) -> bool {
        self.redelivered.remove(&sequence);
        self.forget_again(sequence);
        self.release(sequence)
    }

    /// Settles a message and all before it. Returns the sequences of those that were not settled before.
    pub(crate) fn settle_through(&mut self, sequence: u64, delivery: u64) -> Vec<u64> {
        if sequence <= self.floor.stream || delivery <= self.floor.consumer {
            return Vec::new();
        }
        let settled: Vec<u64> = self
            .leases
            .range(..=sequence)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in &settled {
            self.settle(*sequence);
        }
        self.redelivered = self.redelivered.split_off(&(sequence + 1));
        self.floor = Position {
            consumer: delivery,
            stream: sequence,
        };
        settled
    }

    /// Gives a message up that was delivered as often as it may be. Its deliveries stay counted, and the
    /// floor stays below it until something else is settled and nothing is left.
    pub(crate) fn give_up(&mut self, sequence: u64) {
        let redeliveries = self.attempts(sequence) - 1;
        self.forget_again(sequence);
        if let Some(lease) = self.leases.remove(&sequence) {
            self.expiries.remove(&(lease.expires, sequence));
            self.redelivered.insert(sequence, redeliveries);
        }
    }

    /// Forgets a message that left the stream. Returns whether it was delivered and not settled.
    pub(crate) fn remove(&mut self, sequence: u64) -> bool {
        self.settle(sequence)
    }

    /// Ends a lease, and moves the floor.
    fn release(&mut self, sequence: u64) -> bool {
        let Some(lease) = self.leases.remove(&sequence) else {
            return false;
        };
        self.expiries.remove(&(lease.expires, sequence));
        match self.leases.first_key_value() {
            None => self.floor = self.delivered,
            Some((next, first)) if lease.delivery == self.floor.consumer + 1 => {
                // A message that is settled out of turn moves nothing; the first one moves it to the next
                // gap.
                if *next > sequence {
                    self.floor = Position {
                        consumer: first.delivery - 1,
                        stream: next - 1,
                    };
                }
            }
            Some(_) => {}
        }
        true
    }

    /// Asks for a message to be delivered again at once. Returns whether it is unsettled.
    pub(crate) fn again(&mut self, sequence: u64) -> bool {
        let Some(lease) = self.leases.get(&sequence) else {
            return false;
        };
        if self.expiries.remove(&(lease.expires, sequence)) {
            self.again.push_back(sequence);
        }
        true
    }

    /// Puts the end of a lease at `expires`. A message that waits to be delivered again keeps waiting for
    /// that if `keep_waiting`. Returns whether it is unsettled.
    pub(crate) fn extend(&mut self, sequence: u64, expires: Duration, keep_waiting: bool) -> bool {
        let Some(lease) = self.leases.get_mut(&sequence) else {
            return false;
        };
        let running = self.expiries.remove(&(lease.expires, sequence));
        lease.expires = expires;
        if running || !keep_waiting {
            self.expiries.insert((expires, sequence));
            self.forget_again(sequence);
        }
        true
    }

    /// The leases that are over at `now`, in the order of their sequences.
    pub(crate) fn expired(&self, now: Duration) -> Vec<u64> {
        let over = self.expiries.iter().take_while(|(at, _)| *at <= now);
        let mut sequences: Vec<u64> = over.map(|(_, sequence)| *sequence).collect();
        sequences.sort_unstable();
        sequences
    }

    /// When the next lease is over.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Forgets all up to `sequence`, which has left the stream.
    pub(crate) fn purge_through(&mut self, sequence: u64) {
        let gone: Vec<u64> = self
            .leases
            .range(..=sequence)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in gone {
            self.remove(sequence);
        }
        self.redelivered = self.redelivered.split_off(&(sequence + 1));
        self.delivered.stream = self.delivered.stream.max(sequence);
        if self.leases.is_empty() {
            self.floor = self.delivered;
        } else {
            self.floor.stream = self.floor.stream.max(sequence);
        }
    }

    fn forget_again(&mut self, sequence: u64) {
        if let Some(at) = self.again.iter().position(|other| *other == sequence) {
            self.again.remove(at);
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
