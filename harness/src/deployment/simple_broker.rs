//! The host of the simulated broker, for systems that bring no client of their own.

use std::sync::Arc;

use stormglass_machine as os;

use super::server::Server;
use crate::broker;
use crate::history::What;
use crate::simulation::world::{Gate, World, lock};

/// The host of the simulated broker.
pub(super) struct BrokerHost {
    name: Arc<str>,
    world: Arc<World>,
}

impl BrokerHost {
    pub(super) fn new(world: &Arc<World>) -> Self {
        BrokerHost {
            name: broker::HOST.into(),
            world: world.clone(),
        }
    }
}

impl Server for BrokerHost {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn start(&self, machines: &os::Machine<'_>, gate: Gate) {
        machines.start_service(&self.name, &[], || broker::serve(gate));
    }

    fn killed(&self) {
        lock(&self.world.broker).crash();
    }

    fn backlog(&self) -> Option<String> {
        lock(&self.world.broker).backlog()
    }

    fn final_events(&self) -> Vec<What> {
        lock(&self.world.broker).final_events()
    }
}
