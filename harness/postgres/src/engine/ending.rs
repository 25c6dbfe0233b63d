//! Ending: how connections come to their end, one by one or all together.

use stormglass_machine::outside;

use super::link::{Answer, Origin};
use super::{Engine, signal};
use crate::{Shutdown, Undone, wire};

impl Engine {
    /// A connection has come to its end: its backend is gone when this returns, with all that it held.
    pub(crate) fn close(&mut self, id: u32) {
        let Some(mut link) = self.links.remove(&id) else {
            return;
        };
        self.locked.retain(|own| *own != id);
        let is_in_transaction = link.is_in_transaction();
        let session = link.session.clone();
        outside(move || {
            if link.exchange.is_some() {
                let _ = link.backend.set_open(true);
                // A server that cannot be asked has ended its backends, too.
                let _ = signal(link.lease(), "pg_terminate_backend", link.backend.process);
            }
            let is_busy = link.exchange.is_some() || !link.is_ready || link.is_spoiled;
            if is_busy || link.backend.slot.is_none() {
                link.backend.close();
                return;
            }
            let Origin {
                database,
                parameters,
                said,
            } = link.origin.clone();
            // It has let go of everything, be it good for another client or not.
            let backend = link.backend;
            database.with_parked(|parked| parked.put(parameters, backend, said));
        });
        if is_in_transaction {
            self.witness.rolled_back(&session, Undone::ByEnd);
        }
        self.witness.closed(&session);
        self.settle();
    }

    /// Ends every connection; each client is told why, if it can be.
    pub(crate) fn end_all(&mut self, how: Option<Shutdown>) {
        while let Some((id, link)) = self.links.first_key_value() {
            let id = *id;
            if let Some(how) = how {
                let failure = how.failure();
                let mut bytes = Vec::new();
                wire::put_error(&mut bytes, "FATAL", &failure.code, &failure.message);
                link.mailbox.put(Answer {
                    bytes,
                    is_copying: false,
                    ends: true,
                });
            }
            self.close(id);
        }
    }
}
