//! Parked connections: backends of clients that have left, for the next ones that come in the same way.
//!
//! `DISCARD ALL` makes a session as good as new, except for the seed of `random()`, which is set whenever a
//! session begins, and for settings of the client's own (`SET app.customer`), which stay known: such a session is
//! not parked.
//! <https://www.postgresql.org/docs/current/sql-discard.html>

use std::collections::BTreeMap;

use crate::backend::Backend;
use crate::wire;

/// What a client says of itself when it connects.
pub(crate) type Parameters = Vec<(String, String)>;

/// Backends that wait for a client, each with what the server has said when it began.
#[derive(Debug, Default)]
pub(crate) struct Parked(BTreeMap<Parameters, Vec<(Backend, Vec<u8>)>>);

impl Parked {
    /// A backend as one that is new, for a client that connects with these parameters.
    pub(crate) fn take(&mut self, parameters: &Parameters) -> Option<(Backend, Vec<u8>)> {
        self.0.get_mut(parameters)?.pop()
    }

    /// Keeps a backend whose client has left, after everything that it held was let go; `false` if it is of
    /// no use.
    pub(crate) fn put(
        &mut self,
        parameters: Parameters,
        mut backend: Backend,
        said: Vec<u8>,
        now: i64,
    ) -> bool {
        let mut is_done = |request: Vec<u8>, count: u32| {
            // A real alarm that is forgotten would be one that never rings: the backend does not set another one.
            let has_alarm = backend.waits().is_ok_and(|waits| waits.alarm_at.is_some());
            if has_alarm {
                let _ = backend.ring(now);
            }
            let answer = backend.ask(request, count);
            answer.is_ok_and(|answer| !wire::frames(&answer).any(|own| own.tag == b'E'))
        };
        let request = [wire::query("ROLLBACK"), wire::query("DISCARD ALL")].concat();
        let mut sync = Vec::new();
        wire::put(&mut sync, b'S', &[]);
        // Until its transaction has ended the backend sets one alarm after the other.
        let is_good = is_done(request, 2) && is_done(sync, 1);
        if is_good {
            backend.slot = None;
            let own = self.0.entry(parameters).or_default();
            own.push((backend, said));
        } else {
            backend.close();
        }
        is_good
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        stormglass_machine::outside(|| {
            for (backend, _) in self.0.values_mut().flatten() {
                backend.close();
            }
        });
    }
}
