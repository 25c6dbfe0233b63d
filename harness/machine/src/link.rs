//! Links between hosts, as data: how long packets take, and what became of them.

use std::time::Duration;

/// How long packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    /// The least that a packet takes from one host to another.
    pub latency: Duration,
    /// How much longer it may take.
    pub jitter: Duration,
}

impl Default for Links {
    /// Half a millisecond to one and a half.
    fn default() -> Self {
        Links {
            latency: Duration::from_micros(500),
            jitter: Duration::from_millis(1),
        }
    }
}

/// What has gone from one host to another so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many packets have departed.
    pub packets: u64,
    /// How many of them have met a link that was cut.
    pub held: u64,
    /// How many of them have met a link that was slow.
    pub slowed: u64,
}

/// What a fault of a link has done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affected {
    /// The link was cut, and the packet waits until it is whole.
    Held,
    /// The link was slow, and the packet late.
    Slowed,
}
