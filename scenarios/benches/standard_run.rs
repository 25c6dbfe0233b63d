//! What one run costs: the standard run, the same without recording and checking, and a floor.
//!
//! The standard run has twenty orders, all services and all kinds of fault. The floor is raw turmoil
//! and raw sqlx that do what the standard run cannot be done without: the same hosts for the same
//! virtual time, the same number of socket writes and bytes, the same number of statements and
//! commits. It has no broker, no services and no faults. Quote the ratios, not the times.
#![allow(missing_docs, reason = "criterion's macros write functions without documentation")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor};
use stormglass::plan::{Load, Plan};
use stormglass::simulation::{Effort, Recording, Run, run};
use stormglass::{Seed, System};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

/// How many plans are run in turn, so that one lucky schedule does not decide.
const PLANS: u64 = 16;
/// Services, relay, gateway, client and broker.
const HOSTS: usize = 9;
const DATABASES: usize = 5;
const TICK: Duration = Duration::from_millis(5);

fn standard_system() -> System {
    let everything = scenarios::Scenario::find("everything").expect("the catalogue has everything");
    let load = Load { operations_min: 20, operations_max: 20, ..Load::default() };
    everything.system().load(load)
}

fn plans(system: &System) -> Vec<Plan> {
    let generator = system.generator().expect("the system runs without faults");
    (0..PLANS).map(|seed| generator.plan(Seed(seed))).collect()
}

fn standard_run(system: &System, plan: &Plan) -> Run {
    let run = run(system, plan, Recording::On).expect("a standard run comes to a result");
    black_box(system.judge(&run.history));
    run
}

/// What the floor has to do: the average of the standard runs.
#[derive(Clone, Copy)]
struct Floor {
    virtual_time: Duration,
    effort: Effort,
}

impl Floor {
    fn of(runs: &[Run]) -> Self {
        let count = runs.len() as u64;
        let sum = |part: fn(&Effort) -> u64| runs.iter().map(|run| part(&run.effort)).sum::<u64>() / count;
        Floor {
            virtual_time: runs.iter().map(|run| run.elapsed).sum::<Duration>() / count as u32,
            effort: Effort {
                writes: sum(|effort| effort.writes),
                bytes: sum(|effort| effort.bytes),
                connections: sum(|effort| effort.connections),
                statements: sum(|effort| effort.statements),
                commits: sum(|effort| effort.commits),
            },
        }
    }

    fn run(self, template: &[u8]) {
        // A thread of its own, as a run has.
        let template = template.to_vec();
        std::thread::spawn(move || self.simulate(&template)).join().expect("the floor runs");
    }

    fn simulate(self, template: &[u8]) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a temporary folder can be made");
        let mut sim = turmoil::Builder::new()
            .rng_seed(1)
            .tick_duration(TICK)
            .simulation_duration(Duration::MAX)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            .tcp_capacity(4_096)
            .enable_random_order()
            .build();
        sim.host("server", || async {
            let listener = TcpListener::bind("0.0.0.0:1").await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(answer(stream));
            }
        });
        let clients = HOSTS as u64 - 1;
        // Every request is answered, so a client writes half of what is written.
        let share = self.effort.writes / 2 / clients;
        let size = (self.effort.bytes / self.effort.writes.max(1)).max(8) as usize;
        let sent = Arc::new(AtomicU64::new(0));
        for client in 0..clients {
            let path = folder.path().join(format!("{client}.db"));
            let has_database = client < DATABASES as u64;
            if has_database {
                std::fs::write(&path, template).expect("a database file can be written");
            }
            let sent = sent.clone();
            sim.host(format!("client-{client}"), move || {
                let (path, sent) = (path.clone(), sent.clone());
                async move {
                    let mut database = match has_database {
                        true => Some(pollster::block_on(open(&path))?),
                        false => None,
                    };
                    let share_of_database = |total: u64| total / DATABASES as u64;
                    let commits = share_of_database(self.effort.commits);
                    let statements = share_of_database(self.effort.statements) / commits.max(1);
                    let steps = share.max(commits).max(1);
                    let pause = self.virtual_time / (steps as u32 + 1);
                    let mut stream = TcpStream::connect("server:1").await?;
                    let mut bytes = vec![7; size];
                    for step in 0..steps {
                        tokio::time::sleep(pause).await;
                        if step < share {
                            stream.write_all(&bytes).await?;
                            stream.read_exact(&mut bytes).await?;
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                        if let Some(database) = database.as_mut().filter(|_| step < commits) {
                            pollster::block_on(transaction(database, statements))?;
                        }
                    }
                    std::future::pending().await
                }
            });
        }
        while sim.elapsed() < self.virtual_time {
            sim.step().expect("the floor's hosts do not fail");
        }
        black_box(sent.load(Ordering::Relaxed));
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = vec![0; 65_536];
    loop {
        let length = stream.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..length]).await?;
    }
}

async fn open(path: &std::path::Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging()
        .connect()
        .await
}

/// One transaction of the given number of statements, its begin and commit included.
async fn transaction(database: &mut SqliteConnection, statements: u64) -> sqlx::Result<()> {
    let mut transaction = database.begin().await?;
    for _ in 2..statements.max(3) {
        sqlx::query("INSERT INTO journal (entity, effect) VALUES ($1, $2)")
            .bind("an entity of usual length, such as a uuid")
            .bind("what was done")
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

fn template() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("template.db");
    let create = async {
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await?;
        let schema = "PRAGMA journal_mode = WAL;
            CREATE TABLE journal (position INTEGER PRIMARY KEY, entity TEXT, effect TEXT);";
        (&mut connection).execute(sqlx::raw_sql(schema)).await?;
        connection.close().await
    };
    pollster::block_on(create).expect("a database can be created");
    std::fs::read(&path).expect("the database can be read")
}

fn standard(criterion: &mut Criterion) {
    let system = standard_system();
    let plans = plans(&system);
    let runs: Vec<Run> = plans.iter().map(|plan| standard_run(&system, plan)).collect();
    let floor = Floor::of(&runs);
    let template = template();
    println!(
        "the average of {PLANS} standard runs: {:.1} s of virtual time, {} socket writes of {} bytes, \
         {} statements, {} commits, {} events of history",
        floor.virtual_time.as_secs_f64(),
        floor.effort.writes,
        floor.effort.bytes / floor.effort.writes.max(1),
        floor.effort.statements,
        floor.effort.commits,
        runs.iter().map(|run| run.history.events.len()).sum::<usize>() / runs.len(),
    );
    let mut group = criterion.benchmark_group("one run");
    group.sample_size(20);
    let mut turn = plans.iter().cycle();
    let mut next = || turn.next().expect("a cycle does not end");
    group.bench_function("standard", |bencher| {
        bencher.iter_batched(&mut next, |plan| standard_run(&system, plan), BatchSize::PerIteration);
    });
    group.bench_function("without recording and checking", |bencher| {
        bencher.iter_batched(
            &mut next,
            |plan| run(&system, plan, Recording::Off).expect("a run comes to a result"),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("floor", |bencher| bencher.iter(|| floor.run(&template)));
    group.finish();
}

criterion_group!(benches, standard);
criterion_main!(benches);
