//! Servers: hosts that stand for products, such as a database server or a message broker.

use std::net::SocketAddr;
use std::sync::Arc;

use stormglass_machine as os;

use super::databases::Databases;
use super::nats::NatsHost;
use super::postgres::PostgresHost;
use super::simple_broker::BrokerHost;
use super::third_party::ThirdPartyHost;
use crate::history::What;
use crate::system::System;
use crate::world::{Gate, World};

/// A host that stands for a product.
pub(super) trait Server {
    /// Its name in the network.
    fn name(&self) -> &Arc<str>;

    /// Starts its process; what a product keeps on disk is as its last process left it.
    fn start(&self, machines: &os::Machine<'_>, gate: Gate);

    /// Its process was killed.
    fn killed(&self) {}

    /// Assigns the partitions of a consumer group anew, because of a fault that bites if anybody is affected.
    fn rebalance(&self, _group: &str, _bite: &dyn Fn()) {}

    /// What it still has for somebody, in words; `None` if nothing.
    fn backlog(&self) -> Option<String> {
        None
    }

    /// What it holds when the run is over.
    fn final_events(&self) -> Vec<What> {
        Vec::new()
    }
}

/// The servers of a system.
pub(super) fn of(
    system: &System,
    world: &Arc<World>,
    databases: &Arc<Databases>,
) -> Vec<Box<dyn Server>> {
    let mut servers: Vec<Box<dyn Server>> = Vec::new();
    let latency = system.settings.database_latency;
    for (name, own) in databases.servers() {
        let server = PostgresHost::new(name, own, latency, world, databases);
        servers.push(Box::new(server));
    }
    if system.has_simple_broker() {
        servers.push(Box::new(BrokerHost::new(system, world)));
    }
    for broker in &system.machine.brokers {
        servers.push(Box::new(NatsHost::new(broker, world)));
    }
    for party in &system.machine.third_parties {
        servers.push(Box::new(ThirdPartyHost::new(party)));
    }
    servers
}

/// The host that a call comes from, as it is now; `None` for one that is not of this run.
pub(super) fn caller(world: &Arc<World>, peer: SocketAddr) -> Option<Gate> {
    let host = os::host_of(peer.ip())?;
    world.gate_of(&host)
}
