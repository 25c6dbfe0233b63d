//! How many statements a second a client gets through: by the simulated server on the machine, and directly.
//!
//! `cargo run --release -p stormglass-postgres --example pace`

#![expect(
    clippy::disallowed_methods,
    reason = "the real clock is what is asked for"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgPool, PgPoolOptions};
use stormglass_machine::{outside, run};
use stormglass_postgres::{Cluster, Database, Server, Settings};

const ROUNDS: u32 = 1000;
const SCHEMA: &str = "CREATE TABLE entries (id bigserial PRIMARY KEY, word text NOT NULL, at timestamptz DEFAULT now());
    CREATE TABLE counts (word text PRIMARY KEY, count bigint NOT NULL); INSERT INTO counts VALUES ('tea', 0)";

/// A transaction with two writes and two reads: six batches a round, once everything is prepared.
async fn work(pool: &PgPool, rounds: u32) {
    for _ in 0..rounds {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("INSERT INTO entries (word) VALUES ($1)")
            .bind("tea")
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query("UPDATE counts SET count = count + 1 WHERE word = $1")
            .bind("tea")
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        for _ in 0..2 {
            let _: i64 = sqlx::query_scalar("SELECT count FROM counts WHERE word = $1")
                .bind("tea")
                .fetch_one(pool)
                .await
                .unwrap();
        }
    }
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(3)
        .connect(url)
        .await
        .unwrap()
}

/// The processor time of this process and of the server's, in milliseconds.
fn cpu_ms() -> u64 {
    let own = std::process::id().to_string();
    let folder = format!("stormglass-postgres-{own}-");
    let read = |process: &str, what: &str| {
        std::fs::read_to_string(format!("/proc/{process}/{what}")).unwrap_or_default()
    };
    // From the third field on, as the second one may have blanks.
    let fields = |process: &str| -> Vec<u64> {
        let stat = read(process, "stat");
        let rest = stat.rsplit(')').next().unwrap_or_default();
        rest.split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect()
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes: Vec<String> = processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let servers: Vec<&String> = processes
        .iter()
        .filter(|own| read(own, "cmdline").contains(&folder))
        .collect();
    let ticks = processes.iter().map(|process| {
        let fields = fields(process);
        let parent = fields.get(1).copied().unwrap_or(0).to_string();
        let is_server = servers.contains(&process);
        match is_server || servers.contains(&&parent) || *process == own {
            // Processes that have come to their end are counted where they were started.
            true => fields[11..if is_server { 15 } else { 13 }].iter().sum(),
            false => 0,
        }
    });
    ticks.sum::<u64>() * 10
}

fn tell(what: &str, rounds: u32, began: (Instant, u64)) {
    let batches = rounds * 6;
    let cpu = Duration::from_millis(cpu_ms() - began.1) / batches;
    println!(
        "{what}: {:?} a batch, {cpu:?} of processor time",
        began.0.elapsed() / batches
    );
}

fn simulated(database: Database, rounds: u32) {
    run(stormglass_machine::Settings::of([1; 32]), move |machine| {
        let server = Server::new([database], Settings::default(), Arc::new(()));
        machine.start_service("shop", &[], move || async move {
            let listener = tokio::net::TcpListener::bind("0.0.0.0:5432").await.unwrap();
            server.serve(listener).await.unwrap();
        });
        machine.sleep(Duration::from_millis(1));
        machine.start_service("client", &[], move || async move {
            let pool = pool("postgres://shop/shop").await;
            work(&pool, 5).await;
            let began = outside(|| (Instant::now(), cpu_ms()));
            work(&pool, rounds).await;
            if rounds > 1 {
                outside(|| tell("on the machine", rounds, began));
            }
        });
        machine.wait_for_end("client");
    })
    .unwrap();
}

fn main() {
    let began = Instant::now();
    let cluster = Cluster::take().unwrap();
    println!("the server starts: {:?}", began.elapsed());
    let began = Instant::now();
    let first = cluster.database("shop", SCHEMA).unwrap();
    println!("the first database: {:?}", began.elapsed());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pool = pool(&first.url()).await;
        work(&pool, 5).await;
        let began = (Instant::now(), cpu_ms());
        work(&pool, ROUNDS).await;
        tell("directly", ROUNDS, began);
        pool.close().await;
    });
    simulated(first, ROUNDS);
    let began = cpu_ms();
    for _ in 0..10 {
        drop(cluster.database("shop", SCHEMA).unwrap());
    }
    println!(
        "a database: {} ms of processor time",
        (cpu_ms() - began) / 10
    );
    let began = cpu_ms();
    for _ in 0..10 {
        simulated(cluster.database("shop", SCHEMA).unwrap(), 1);
    }
    println!(
        "a database and a run of one round: {} ms of processor time",
        (cpu_ms() - began) / 10
    );
}
