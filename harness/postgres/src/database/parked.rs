//! Parked connections: backends of clients that have left, for the next ones that come in the same way.
//!
//! `DISCARD ALL` makes a session as good as new, except for the seed of `random()`, which is set whenever a
//! session begins, and for settings of the client's own (`SET app.customer`), which stay known: such a session is
//! not parked. What alarm it still expects is forgotten when it is handed out again (`Backend::arm`).
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
    ) -> bool {
        let request = [wire::query("ROLLBACK"), wire::query("DISCARD ALL")].concat();
        let answer = backend.ask(request, 2);
        let is_good = answer.is_ok_and(|answer| !wire::frames(&answer).any(|own| own.tag == b'E'));
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

#[cfg(test)]
mod tests {
    use super::{Parameters, Parked};
    use crate::backend::Backend;
    use crate::cluster::Cluster;
    use crate::slot::Slots;
    use crate::wire;

    /// What a client does, each at a second of its run.
    const STATEMENTS: &[(i64, &str)] = &[
        (0, "SELECT txid_current()"),
        (1, "SET statement_timeout = '3s'"),
        (2, "SELECT txid_current()"),
        (6, "SET idle_in_transaction_session_timeout = '5s'"),
        (7, "BEGIN"),
        (8, "SELECT txid_current()"),
        (30, "COMMIT"),
        (100, "CREATE TEMPORARY TABLE own ()"),
        (105, "SET statement_timeout = 0"),
        (170, "BEGIN"),
    ];

    /// When its alarm would ring after each of them, in microseconds after `now`.
    fn alarms(backend: &mut Backend, slots: &Slots, now: i64) -> Vec<Option<i64>> {
        backend.arm(slots, 1, now).unwrap();
        let alarms = STATEMENTS.iter().map(|(second, sql)| {
            backend.set_now(now + second * 1_000_000).unwrap();
            backend.ask(wire::query(sql), 1).unwrap();
            let alarm = backend.waits().unwrap().alarm_at;
            alarm.map(|at| at - now)
        });
        alarms.collect()
    }

    #[test]
    fn a_backend_sets_the_alarms_of_a_new_one_whoever_had_it_before() {
        let cluster = Cluster::take().unwrap();
        let found = cluster
            .0
            .with(|real| Ok((real.place.clone(), real.slots.clone())));
        let (place, slots) = found.unwrap();
        let Some(slots) = slots else {
            return;
        };
        let parameters = [("user", "postgres"), ("database", "postgres")];
        let parameters: Parameters = parameters
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let mut parked = Parked::default();
        let (mut backend, said) = Backend::open(&place, &parameters).unwrap();
        backend.withhold_statistics(&slots).unwrap();
        let begin = 1_767_225_600_000_000;
        let expected = alarms(&mut backend, &slots, begin);
        assert!(expected.contains(&None), "{expected:?}");
        assert_eq!(expected.last(), Some(&Some(175_000_000)));
        assert!(parked.put(parameters.clone(), backend, said));
        // The next clients of the same run, of a later one that begins anew, and of one far away.
        for now in [begin + 171_000_000, begin + 345_000_000, begin, begin / 2] {
            let (mut backend, said) = parked.take(&parameters).unwrap();
            assert_eq!(alarms(&mut backend, &slots, now), expected);
            assert!(parked.put(parameters.clone(), backend, said));
        }
    }
}
