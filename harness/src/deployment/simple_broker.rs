//! The host of the simple broker, for systems that bring no client of their own.

use std::sync::Arc;

use stormglass_machine as os;

use super::server::Server;
use crate::broker::{self, Core};
use crate::history::What;
use crate::simple_broker::SimpleBroker;
use crate::system::System;
use crate::world::{Gate, World};

/// The host of the simple broker.
pub(super) struct BrokerHost {
    name: Arc<str>,
    broker: Arc<SimpleBroker>,
}

impl BrokerHost {
    pub(super) fn new(system: &System, world: &Arc<World>) -> Self {
        let description = system.description();
        let groups = description.groups.iter();
        let groups = groups.map(|(name, group)| (&**name, &*group.topics));
        let name: Arc<str> = broker::HOST.into();
        let (profile, topics) = (&description.profile, &description.topics);
        let core = Core::new(profile, topics, groups, name.clone());
        BrokerHost {
            name,
            broker: Arc::new(SimpleBroker::new(core, world.clone())),
        }
    }
}

impl Server for BrokerHost {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn start(&self, machines: &os::Machine<'_>, gate: Gate) {
        let broker = self.broker.clone();
        machines.start_service(&self.name, &[], || broker.serve(gate));
    }

    fn killed(&self) {
        self.broker.crash();
    }

    fn rebalance(&self, group: &str, bite: &dyn Fn()) {
        self.broker.rebalance(group, bite);
    }

    fn backlog(&self) -> Option<String> {
        self.broker.backlog()
    }

    fn final_events(&self) -> Vec<What> {
        self.broker.final_events()
    }
}
