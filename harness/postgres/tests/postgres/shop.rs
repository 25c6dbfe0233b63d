//! A run with a server and its clients.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use stormglass_machine::{Ending, Machine, run};
use stormglass_postgres::{Cluster, Database, Server, Settings, Witness};

/// What the services of these tests keep their data in.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE orders (
        id bigserial PRIMARY KEY, sku text NOT NULL, at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
        key uuid NOT NULL DEFAULT gen_random_uuid(), body jsonb
    );
    CREATE TABLE stock (sku text PRIMARY KEY, left_over bigint NOT NULL CHECK (left_over >= 0));
    INSERT INTO stock VALUES ('tea', 100), ('coffee', 100);
";

/// What somebody has observed, in order.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    pub(crate) fn say(&self, what: impl Display) {
        self.0.lock().unwrap().push(what.to_string());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A run that is to be.
pub(crate) struct Shop {
    pub(crate) seed: u8,
    pub(crate) settings: Settings,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) database: Database,
}

impl Shop {
    pub(crate) fn new(seed: u8) -> Self {
        Shop::with_schema(seed, SCHEMA)
    }

    pub(crate) fn with_schema(seed: u8, schema: &str) -> Self {
        Shop {
            seed,
            settings: Settings::default(),
            witness: Arc::new(()),
            database: Cluster::take().unwrap().database("shop", schema).unwrap(),
        }
    }

    /// The server's host serves, and `drive` does the rest.
    pub(crate) fn run<T: Send + 'static>(
        self,
        drive: impl FnOnce(&Machine, &Server) -> T + Send + 'static,
    ) -> T {
        let settings = stormglass_machine::Settings::of([self.seed; 32]);
        run(settings, move |machine| {
            let server = Server::new([self.database], self.settings, self.witness);
            serve(machine, &server);
            drive(machine, &server)
        })
        .unwrap()
    }
}

pub(crate) fn serve(machine: &Machine, server: &Server) {
    let server = server.clone();
    machine.start_service("shop", &[], move || async move {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:5432").await.unwrap();
        server.serve(listener).await.unwrap();
    });
    machine.sleep(Duration::from_millis(1));
}

/// Starts a service that uses the database.
pub(crate) fn start<F: Future<Output = ()>>(
    machine: &Machine,
    name: &str,
    service: impl FnOnce(PgPool) -> F + Send + 'static,
) {
    machine.start_service(name, &[], move || async move {
        service(pool(5).await).await;
    });
}

pub(crate) async fn pool(most: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(most)
        .connect("postgres://shop:secret@shop/shop")
        .await
        .unwrap()
}

/// Waits until these services have come to a good end.
pub(crate) fn wait(machine: &Machine, names: &[&str]) {
    for name in names {
        assert_eq!(machine.wait_for_end(name), Some(Ending::Returned), "{name}");
    }
}
