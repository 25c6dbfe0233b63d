//! What virtual time costs in which little happens, in real time.
//!
//! `cargo run --release -p stormglass --example long_runs`
#![expect(
    clippy::disallowed_methods,
    reason = "how long a run takes outside of it is what is asked"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer::pull, stream};
use futures::TryStreamExt;
use sqlx::SqlitePool;
use stormglass::database::Database;
use stormglass::plan::Load;
use stormglass::simulation::{Recording, run};
use stormglass::{Machine, Seed, System};
use tokio::net::TcpListener;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const HOUR: Duration = Duration::from_secs(3600);

/// Waits for somebody who never connects.
async fn idle(_: Machine) -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        listener.accept().await?;
    }
}

/// Writes down every order that it finds in the stream.
async fn desk(machine: Machine) -> Result<()> {
    let pool = SqlitePool::connect(machine.url("orders")).await?;
    let jetstream = jetstream::new(async_nats::connect("nats://nats").await?);
    let stream = stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders".to_owned()],
        ..stream::Config::default()
    };
    let consumer = pull::Config {
        durable_name: Some("desk".to_owned()),
        ..pull::Config::default()
    };
    let stream = jetstream.get_or_create_stream(stream).await?;
    let consumer = stream.get_or_create_consumer("desk", consumer).await?;
    let mut orders = consumer.messages().await?;
    while let Some(order) = orders.try_next().await? {
        let insert = sqlx::query("INSERT INTO orders (article) VALUES ($1)");
        insert.bind(&*order.payload).execute(&pool).await?;
        order.ack().await?;
    }
    Ok(())
}

async fn order(number: u8) -> Result<()> {
    let jetstream = jetstream::new(async_nats::connect("nats://nats").await?);
    let article = vec![number].into();
    jetstream.publish("orders", article).await?.await?;
    Ok(())
}

/// Runs a plan of `system` without faults that has `operations` over `time`, and tells how long that takes.
fn measure(what: &str, system: System, operations: usize, time: Duration) {
    let load = Load {
        operations_min: operations,
        operations_max: operations,
        over_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        ..Load::default()
    };
    let system = system.load(load).faults(&[]);
    let generator = system.generator().expect("the system runs");
    let plan = generator.plan(Seed(1));
    let begun = Instant::now();
    let run = run(&system, &plan, Recording::On).expect("the run comes to a result");
    let took = begun.elapsed();
    println!(
        "{what}: {:.1} virtual hours in {took:?}",
        run.elapsed.as_secs_f64() / 3600.0
    );
}

fn main() {
    let nothing = |_: u8| async { Ok::<(), String>(()) };
    let idle_hosts = (0..10).fold(System::new("idle hosts"), |system, number| {
        system.host(&format!("idle-{number}"), idle)
    });
    let idle_hosts = idle_hosts.operations(proptest::prelude::any::<u8>, nothing);
    measure("ten idle hosts", idle_hosts, 20, 4 * HOUR);
    let schema = "CREATE TABLE orders (number INTEGER PRIMARY KEY, article BLOB NOT NULL)";
    let orders = System::new("orders")
        .sqlite(Database::new("orders", schema))
        .nats("nats")
        .host("desk", desk)
        .operations(proptest::prelude::any::<u8>, order);
    measure("twenty orders", orders, 20, 10 * HOUR);
}
