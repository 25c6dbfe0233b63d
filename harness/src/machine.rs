//! What a service is told when it starts: the name of its machine, and where its databases are.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::Arc;

use crate::plan::topology::instance_names;
use crate::world::Gate;

/// The machine that a service starts on, as its closure in the test sees it.
///
/// It is there to make a configuration of, as a command line or an environment is; the service itself
/// needs not know it.
#[derive(Clone)]
pub struct Machine {
    pub(crate) gate: Gate,
    pub(crate) service: Arc<str>,
    pub(crate) shared: Arc<Shared>,
}

impl Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// What is the same for all machines of a run.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The addresses of the databases, by their names.
    pub(crate) urls: BTreeMap<Arc<str>, String>,
    /// How many instances of a service run; one where nothing is said.
    pub(crate) instances: BTreeMap<String, u32>,
    /// The folder of the run's files.
    pub(crate) folder: PathBuf,
}

impl Machine {
    /// The machine's name: that of its service, or `order-2` where it is the second instance of `order`.
    pub fn name(&self) -> &str {
        self.gate.host()
    }

    /// The service that runs on it.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// How often the service has been started on it, this time included.
    pub fn incarnation(&self) -> u32 {
        self.gate.incarnation()
    }

    /// The address of one of the system's databases: `postgres://shop/shop`, or `sqlite://` with a path.
    ///
    /// # Panics
    ///
    /// If the system has no database of this name.
    pub fn url(&self, database: &str) -> &str {
        let known = || {
            let names: Vec<&str> = self.shared.urls.keys().map(|name| &**name).collect();
            names.join(", ")
        };
        let url = self.shared.urls.get(database);
        url.unwrap_or_else(|| panic!("no database `{database}`; the system has: {}", known()))
    }

    /// A folder for files of the service: they are there after a crash, and gone after the run.
    ///
    /// # Panics
    ///
    /// If it cannot be made, as on a disk that is full.
    pub fn folder(&self) -> PathBuf {
        let folder = self.shared.folder.join(self.name());
        std::fs::create_dir_all(&folder)
            .unwrap_or_else(|error| panic!("no folder {}: {error}", folder.display()));
        folder
    }

    /// Ends when the service is told to stop, as SIGTERM tells it in production: for the future that a server takes
    /// for its graceful shutdown. It has two seconds of virtual time from then on. A service that never calls this is
    /// dropped at once when it is restarted.
    pub fn terminated(&self) -> impl Future<Output = ()> + Send + use<> {
        self.gate.heed();
        stormglass_machine::terminated()
    }

    /// The names of the machines that a service runs on in this run, for clients that choose among them.
    pub fn instances_of(&self, service: &str) -> Vec<String> {
        let instances = self.shared.instances.get(service).copied().unwrap_or(1);
        instance_names(service, instances).collect()
    }
}
