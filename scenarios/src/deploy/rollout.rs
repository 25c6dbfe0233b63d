//! A rollout: which release of a service comes up at which start of its host.
//!
//! A deployment puts the next release in place and restarts; whatever restarts a host later, a crash included, brings up what
//! lies there by then. So the number of the start says which release it is, and a restart of one instance after the other has
//! old and new ones side by side. Only the gateway, which announces placed orders, and their consumers differ by release.

use reference_system::Environment;
use reference_system::consumer::Handler;
use reference_system::event::catalogue::published_by;
use reference_system::event::contract::{Contract, OrderPlaced};
use reference_system::event::registration::{Proposal, published, register};
use reference_system::order::OrderPlacedVersion;
use reference_system::registry::RegistryClient;
use serde_json::{Value, json};
use stormglass::Machine;

use super::{Deployment, OldReader, REGISTRY, StartError};

/// The releases of a deployment, by the number of the start; the last one stays.
#[derive(Clone, Copy, Debug)]
pub struct Rollout {
    /// What the gateway is.
    pub gateway: &'static [Release],
    /// The newest version of `order.placed` that its consumers read.
    pub readers: &'static [u32],
    /// The compatibility that the schema registry keeps.
    pub compatibility: &'static str,
}

/// A release of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Announces orders in the first version of the contract.
    First,
    /// Announces them in the second.
    Second,
    /// Is about to announce them in a third in which the address has parts. Nobody who reads an earlier version could go on:
    /// all would have to be deployed at once.
    AddressInParts,
    /// Is about to announce them in a third that is the second without a default for the discount: it goes with the second
    /// and not with the first.
    NoDefault,
}

impl Release {
    /// The version that it announces orders in, once its contracts are registered.
    pub(super) fn announces(self) -> OrderPlacedVersion {
        match self {
            Release::First => OrderPlacedVersion::One,
            _ => OrderPlacedVersion::Two,
        }
    }

    /// What it registers before it serves anybody.
    pub(super) fn proposals(self) -> Vec<Proposal> {
        let mut proposed = proposals_of("order", self.announces());
        proposed.extend(self.third_version().map(|schema| Proposal {
            subject: OrderPlaced::EVENT_TYPE.to_owned(),
            version: OrderPlaced::SCHEMA_VERSION + 1,
            schema,
        }));
        proposed
    }

    fn third_version(self) -> Option<Value> {
        let mut schema = OrderPlaced::schema();
        let fields = &mut schema["properties"];
        match self {
            Release::First | Release::Second => return None,
            Release::AddressInParts => {
                let text = json!({ "type": "string" });
                fields["address"] = json!({
                    "type": "object",
                    "properties": { "street": text, "city": text },
                    "required": ["street", "city"],
                    "additionalProperties": false,
                });
            }
            Release::NoDefault => fields["discount_cents"] = json!({ "type": "integer" }),
        }
        Some(schema)
    }
}

impl Rollout {
    /// The release of the gateway that comes up at a start.
    pub(super) fn gateway_at(&self, start: u32) -> Release {
        at(self.gateway, start)
    }

    /// The newest version of `order.placed` that a consumer reads which comes up at a start.
    pub fn read_at(&self, start: u32) -> u32 {
        at(self.readers, start)
    }
}

impl Deployment {
    /// The handler as the release has it that comes up on `machine`.
    pub(super) fn of_release(
        &self,
        handler: Box<dyn Handler>,
        machine: &Machine,
    ) -> Box<dyn Handler> {
        let newest = OrderPlacedVersion::Two.number();
        let read = self.rollout.map(|own| own.read_at(machine.incarnation()));
        match read {
            Some(read) if read < newest => Box::new(OldReader {
                handler,
                newest: read,
            }),
            _ => handler,
        }
    }

    /// Has contracts registered, where there is a registry.
    pub(super) async fn register(
        &self,
        proposals: Vec<Proposal>,
        environment: &Environment,
    ) -> Result<(), StartError> {
        if self.rollout.is_none() {
            return Ok(());
        }
        let registry = RegistryClient::new(&format!("http://{REGISTRY}"));
        let Environment {
            settings, shutdown, ..
        } = environment;
        Ok(register(&registry, proposals, settings.backoff, shutdown).await?)
    }
}

/// What `producer` registers if placed orders are announced in `version`.
pub(super) fn proposals_of(producer: &str, version: OrderPlacedVersion) -> Vec<Proposal> {
    published(&published_by(producer), version).collect()
}

fn at<T: Copy>(by_start: &[T], start: u32) -> T {
    let last = by_start.len() - 1;
    by_start[(start.saturating_sub(1) as usize).min(last)]
}
