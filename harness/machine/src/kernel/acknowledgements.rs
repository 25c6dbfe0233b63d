//! Acknowledgements: which of them may wait until the host works anyway.
//!
//! Half of the packets of a conversation only say that what was sent has arrived. As long as all has been sent and nobody
//! waits for room to write more, nothing follows from that, and no thread has to be woken for it.

use std::collections::{BTreeMap, BTreeSet};

use turmoil_net::{Packet, TcpFlags, Transport};

use super::timeouts::Ends;
use crate::descriptor::ObjectId;

/// Whether a packet only acknowledges.
pub(crate) fn is_bare(packet: &Packet) -> bool {
    let bare = TcpFlags {
        ack: true,
        ..TcpFlags::default()
    };
    match &packet.payload {
        Transport::Tcp(segment) => segment.payload.is_empty() && segment.flags == bare,
        _ => false,
    }
}

/// What of a host waits for acknowledgements.
#[derive(Default)]
pub(super) struct Awaited {
    /// Connections that a peer has asked for and that have not come about.
    pub(super) half_open: BTreeSet<Ends>,
    /// How many bytes of each connection have been written and not been sent, if any.
    unsent: BTreeMap<Ends, usize>,
    /// Sockets that somebody wants to write to and that have no room.
    pub(super) blocked: BTreeSet<ObjectId>,
}

impl Awaited {
    /// Whether nothing waits for an acknowledgement.
    pub(super) fn is_nothing(&self) -> bool {
        self.half_open.is_empty() && self.unsent.is_empty() && self.blocked.is_empty()
    }

    /// So many bytes have been written.
    pub(super) fn written(&mut self, ends: Ends, count: usize) {
        *self.unsent.entry(ends).or_default() += count;
    }

    /// So many bytes have been sent.
    pub(super) fn sent(&mut self, ends: Ends, count: usize) {
        if let Some(own) = self.unsent.get_mut(&ends) {
            *own = own.saturating_sub(count);
            if *own == 0 {
                self.unsent.remove(&ends);
            }
        }
    }

    /// The connection is over.
    pub(super) fn forget(&mut self, ends: Ends) {
        self.unsent.remove(&ends);
        self.half_open.remove(&ends);
    }
}
