//! What hosts that crash leave behind in the process that runs them: threads, descriptors (its connections to PostgreSQL
//! among them) and memory, after so many runs.
//!
//! `cargo run --release -p stormglass --example crashed_hosts -- 10000`

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull, stream};
use futures::TryStreamExt;
use sqlx::{PgPool, SqlitePool};
use stormglass::database::Database;
use stormglass::history::What;
use stormglass::plan::{FaultKind, Load};
use stormglass::simulation::{Recording, run};
use stormglass::{Machine, Seed, System};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How often the figures are told.
const LINES: u64 = 10;

async fn orders(consumer: &str) -> Result<pull::Stream> {
    let jetstream = jetstream::new(async_nats::connect("nats://nats").await?);
    let stream = stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders".to_owned()],
        ..stream::Config::default()
    };
    let durable = pull::Config {
        durable_name: Some(consumer.to_owned()),
        ack_wait: Duration::from_secs(1),
        ..pull::Config::default()
    };
    let stream = jetstream.get_or_create_stream(stream).await?;
    let consumer = stream.get_or_create_consumer(consumer, durable).await?;
    Ok(consumer.messages().await?)
}

/// Writes orders down on SQLite.
async fn desk(machine: Machine) -> Result<()> {
    let pool = SqlitePool::connect(machine.url("orders")).await?;
    let mut orders = orders("desk").await?;
    while let Some(order) = orders.try_next().await? {
        let insert = sqlx::query("INSERT INTO orders (article) VALUES ($1)");
        insert.bind(&*order.payload).execute(&pool).await?;
        order.ack().await?;
    }
    Ok(())
}

/// Books orders on PostgreSQL.
async fn accountant(machine: Machine) -> Result<()> {
    let pool = PgPool::connect(machine.url("ledger")).await?;
    let mut orders = orders("accountant").await?;
    while let Some(order) = orders.try_next().await? {
        let mut transaction = pool.begin().await?;
        let insert = sqlx::query("INSERT INTO entries (article) VALUES ($1)");
        insert
            .bind(&*order.payload)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
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

/// How many entries a folder of `/proc/self` has.
fn count(folder: &str) -> usize {
    let entries = std::fs::read_dir(format!("/proc/self/{folder}"));
    entries.map_or(0, Iterator::count)
}

/// The process' resident memory in megabytes.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|own| own.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096 / 1_000_000
}

fn main() {
    let argument = std::env::args().nth(1);
    let runs = argument.and_then(|own| own.parse().ok()).unwrap_or(1_000);
    let sqlite = "CREATE TABLE orders (number INTEGER PRIMARY KEY, article BLOB NOT NULL)";
    let postgres = "CREATE TABLE entries (number BIGSERIAL PRIMARY KEY, article BYTEA NOT NULL)";
    let load = Load {
        operations_min: 3,
        operations_max: 3,
        over_ms: 2_000,
        ..Load::default()
    };
    let system = System::new("crashed hosts")
        .sqlite(Database::new("orders", sqlite))
        .postgres(Database::new("ledger", postgres))
        .nats("nats")
        .host("desk", desk)
        .host("accountant", accountant)
        .operations(proptest::prelude::any::<u8>, order)
        .load(load)
        .faults(&[FaultKind::Crash, FaultKind::MachineLoss]);
    let generator = system.generator().expect("the system runs");
    let (mut started_again, mut committed) = (0, 0);
    for number in 1..=runs {
        let plan = generator.plan(Seed(number));
        let run = run(&system, &plan, Recording::On).expect("the run comes to a result");
        for event in &run.history.events {
            match event.what {
                What::HostStarted { incarnation: 2.. } => started_again += 1,
                What::Committed { .. } => committed += 1,
                _ => {}
            }
        }
        if number % runs.div_ceil(LINES) == 0 || number == runs {
            println!(
                "{number} runs, {committed} commits, {started_again} hosts crashed and started again: \
                 {} threads, {} descriptors, {} MB",
                count("task"),
                count("fd"),
                memory(),
            );
        }
    }
}
