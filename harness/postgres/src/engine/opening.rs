//! Opening: how a client is connected to the real server.

use std::net::SocketAddr;
use std::sync::Arc;

use stormglass_machine::outside;

use super::link::{Link, Origin};
use super::{Engine, FIRST_PROCESS, Mailbox};
use crate::backend::Backend;
use crate::client::now_us;
use crate::{Error, Failure, Session, wire};

impl Engine {
    /// Connects a client; its number, and what the server says to it first.
    pub(crate) fn open(
        &mut self,
        client: SocketAddr,
        parameters: &[(String, String)],
        seed: u64,
    ) -> Result<(u32, Arc<Mailbox>, Vec<u8>), Failure> {
        let opened = self.try_open(client, parameters, seed);
        if let Err(failure) = &opened {
            self.witness.refused(client, failure);
        }
        opened
    }

    fn try_open(
        &mut self,
        client: SocketAddr,
        parameters: &[(String, String)],
        seed: u64,
    ) -> Result<(u32, Arc<Mailbox>, Vec<u8>), Failure> {
        if let Some(how) = self.closed {
            return Err(how.refusal());
        }
        if let Some(failure) = self.witness.refuses(client) {
            return Err(failure);
        }
        if self.links.len() >= self.connections_max {
            return Err(Failure::too_many_connections());
        }
        let of = |name: &str| {
            parameters
                .iter()
                .find(|own| own.0 == name)
                .map(|own| &*own.1)
        };
        if of("replication").is_some() {
            return Err(Failure::new("0A000", "replication is not simulated"));
        }
        let user = of("user").ok_or_else(|| {
            Failure::new(
                "28000",
                "no PostgreSQL user name specified in startup packet",
            )
        })?;
        let name = of("database")
            .filter(|name| !name.is_empty())
            .unwrap_or(user);
        let database = self
            .databases
            .get(name)
            .ok_or_else(|| Failure::new("3D000", &format!("database \"{name}\" does not exist")))?;
        let now = now_us();
        let mut own: Vec<_> = parameters.to_vec();
        own.retain(|(name, _)| {
            !["user", "database"].contains(&&**name) && !name.starts_with("_pq_.")
        });
        let found = database.lease().with(|real| {
            let real_user = match real.is_private() {
                true => {
                    real.ensure_role(user)?;
                    user
                }
                false => &*real.place.user,
            };
            Ok((real.place.clone(), real.slots.clone(), real_user.to_owned()))
        });
        let (place, slots, real_user) = found.map_err(failure_of)?;
        own.push(("user".to_owned(), real_user));
        own.push(("database".to_owned(), database.real_name().to_owned()));
        let parked = database.with_parked(|parked| parked.take(&own));
        let opened = outside(|| {
            let (mut backend, said) = match parked {
                Some(parked) => parked,
                None => {
                    let (mut backend, said) = Backend::open(&place, &own)?;
                    if let Some(slots) = &slots {
                        backend.withhold_statistics(slots)?;
                    }
                    (backend, said)
                }
            };
            if let Some(slots) = &slots {
                backend.arm(slots, seed, now)?;
                backend.ask(wire::query(&seeding(seed)), 1)?;
            }
            Ok((backend, said))
        });
        let (backend, said) = opened.map_err(failure_of)?;
        self.opened += 1;
        let id = FIRST_PROCESS + self.opened;
        self.processes.insert(backend.process, id);
        let session = Session {
            client,
            database: name.to_owned(),
            user: user.to_owned(),
            process: id,
        };
        self.witness.opened(&session);
        let mut greeting = said.clone();
        let origin = Origin {
            database: database.clone(),
            parameters: own,
            said,
        };
        let link = Link::new(session, origin, backend, (seed >> 32) as u32);
        let key = [id.to_be_bytes(), link.key.to_be_bytes()].concat();
        wire::put(&mut greeting, b'K', &key);
        wire::put_ready(&mut greeting, b'I');
        let mailbox = link.mailbox.clone();
        self.links.insert(id, link);
        Ok((id, mailbox, greeting))
    }
}

/// What makes the values of `random()` follow from `seed`.
fn seeding(seed: u64) -> String {
    format!(
        "SELECT setseed({})",
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    )
}

/// What a client is told when it cannot be connected to the real server.
fn failure_of(error: Error) -> Failure {
    let (code, message) = match error {
        Error::Refused { code, message } => (code, message),
        other => ("08006".to_owned(), other.to_string()),
    };
    Failure {
        code,
        message,
        is_fatal: true,
    }
}
