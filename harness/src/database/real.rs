//! A database beside any run, for what is compared with runs or cannot be simulated, such as how long a statement really takes.

use stormglass_postgres::{Cluster, Error};

use super::store::StoreError;

/// An empty database on the PostgreSQL server that runs use. It is gone when this is dropped.
#[derive(Debug)]
pub struct RealDatabase(stormglass_postgres::Database);

impl RealDatabase {
    /// A new one of this name; `None` where no server is installed.
    ///
    /// # Errors
    ///
    /// If the server cannot be started or reached.
    pub fn on_postgres(name: &str) -> Result<Option<Self>, StoreError> {
        let cluster = match Cluster::take() {
            Err(Error::NotInstalled) => return Ok(None),
            taken => taken?,
        };
        Ok(Some(RealDatabase(cluster.database(name, "")?)))
    }

    /// Its address on the real machine.
    pub fn url(&self) -> String {
        self.0.url()
    }
}
