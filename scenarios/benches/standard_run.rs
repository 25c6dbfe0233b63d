//! What one run costs: the standard run, the same without recording and checking, and a floor.
//!
//! The standard run has twenty orders, all services and all kinds of fault. The floor is raw turmoil
//! and raw sqlx that make the same calls: the same hosts for the same virtual time, the same statements
//! with the same values on as many connections, and the same writes between the same hosts, each at
//! the virtual time at which the standard run did it. It has no broker, no services, no faults, and
//! nothing that makes it repeatable. Quote the ratios, not the times: they hold on any machine.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_lite::future::block_on;
use scenarios::Scenario;
use sqlx::{AnyConnection, Connection, Executor};
use stormglass::plan::{Load, Plan};
use stormglass::simulation::{Io, IoCall, Recording, Run, run};
use stormglass::{Seed, System};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use turmoil::net::{TcpListener, TcpStream};

/// How many plans are run in turn, so that one lucky schedule does not decide.
const PLANS: u64 = 16;
const TICK: Duration = Duration::from_millis(5);

fn standard_system() -> System {
    let everything = Scenario::find("everything").expect("the catalogue has everything");
    let load = Load {
        operations_min: 20,
        operations_max: 20,
        ..Load::default()
    };
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

/// The calls of one standard run, to be made again with nothing but turmoil and sqlx.
struct Floor {
    virtual_time: Duration,
    by_host: BTreeMap<Arc<str>, Vec<Io>>,
    hosts: BTreeSet<Arc<str>>,
    templates: BTreeMap<Arc<str>, Vec<u8>>,
}

type Connections = Rc<RefCell<BTreeMap<usize, AnyConnection>>>;

impl Floor {
    fn of(system: &System, plan: &Plan) -> Self {
        let run = run(system, plan, Recording::Io).expect("a standard run comes to a result");
        let mut by_host: BTreeMap<Arc<str>, Vec<Io>> = BTreeMap::new();
        let mut hosts = BTreeSet::new();
        for own in run.io {
            hosts.insert(own.host.clone());
            if let IoCall::Write { to, .. } = &own.call {
                hosts.insert(to.clone());
            }
            by_host.entry(own.host.clone()).or_default().push(own);
        }
        let databases = system.databases();
        let template = |own: &stormglass::database::Database| {
            (Arc::from(own.name()), template(own.sqlite_schema()))
        };
        Floor {
            virtual_time: run.elapsed,
            by_host,
            hosts,
            templates: databases.iter().map(template).collect(),
        }
    }

    /// Statements and writes.
    fn counts(&self) -> (usize, usize) {
        let all = || self.by_host.values().flatten();
        let statements = all()
            .filter(|own| matches!(own.call, IoCall::Statement { .. }))
            .count();
        (statements, all().count() - statements)
    }

    /// On a thread of its own, as a run is.
    fn run(&self) {
        std::thread::scope(|scope| {
            scope
                .spawn(|| self.simulate())
                .join()
                .expect("the floor runs");
        });
    }

    fn simulate(&self) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a temporary folder can be made");
        for (database, bytes) in &self.templates {
            let path = folder.path().join(format!("{database}.db"));
            std::fs::write(path, bytes).expect("a database file can be written");
        }
        let mut sim = turmoil::Builder::new()
            .rng_seed(1)
            .tick_duration(TICK)
            .simulation_duration(Duration::MAX)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            .tcp_capacity(4_096)
            .enable_random_order()
            .build();
        let connections: Connections = Rc::default();
        for host in &self.hosts {
            let calls = self.by_host.get(host).cloned().unwrap_or_default();
            let path = folder.path().to_owned();
            let connections = connections.clone();
            sim.host(&**host, move || {
                software(calls.clone(), path.clone(), connections.clone())
            });
        }
        while sim.elapsed() < self.virtual_time {
            sim.step().expect("the floor's hosts do not fail");
        }
        for (_, connection) in std::mem::take(&mut *connections.borrow_mut()) {
            // A statement that failed in the standard run fails here too; so may the end of its
            // transaction.
            let _ = block_on(connection.close());
        }
    }
}

/// Makes the calls of one host, each at its time, and reads what others write to it.
async fn software(
    calls: Vec<Io>,
    folder: std::path::PathBuf,
    connections: Connections,
) -> turmoil::Result {
    let listener = TcpListener::bind("0.0.0.0:1").await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(swallow(stream));
        }
    });
    let begun = Instant::now();
    let mut streams: BTreeMap<Arc<str>, TcpStream> = BTreeMap::new();
    let bytes = vec![7; 65_536];
    for own in calls {
        tokio::time::sleep_until(begun + own.at).await;
        match own.call {
            IoCall::Statement {
                database,
                connection,
                sql,
                arguments,
            } => {
                let mut connections = connections.borrow_mut();
                let connection = connections.entry(connection).or_insert_with(|| {
                    block_on(open(&folder.join(format!("{database}.db"))))
                        .expect("the database file can be opened")
                });
                let sql = sqlx::AssertSqlSafe(sql);
                let done = match arguments {
                    Some(own) => block_on(connection.fetch_all((sql, Some(own.copy())))),
                    None => block_on(connection.fetch_all(sql)),
                };
                drop(black_box(done));
            }
            IoCall::Write { to, bytes: length } => {
                if !streams.contains_key(&to) {
                    streams.insert(to.clone(), TcpStream::connect((&*to, 1)).await?);
                }
                if let Some(stream) = streams.get_mut(&to) {
                    stream.write_all(&bytes[..length.min(bytes.len())]).await?;
                }
            }
        }
    }
    std::future::pending().await
}

async fn swallow(mut stream: TcpStream) {
    let mut bytes = vec![0; 8_192];
    while stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
}

async fn open(path: &Path) -> sqlx::Result<AnyConnection> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&format!("sqlite://{}", path.display())).await?;
    let settings = "PRAGMA busy_timeout = 0; PRAGMA synchronous = OFF;";
    (&mut connection).execute(sqlx::raw_sql(settings)).await?;
    Ok(connection)
}

/// The bytes of a database file with these tables.
fn template(schema: &str) -> Vec<u8> {
    sqlx::any::install_default_drivers();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("template.db");
    let create = async {
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut connection = AnyConnection::connect(&url).await?;
        let script = sqlx::AssertSqlSafe(format!("PRAGMA journal_mode = WAL; {schema}"));
        (&mut connection).execute(sqlx::raw_sql(script)).await?;
        connection.close().await
    };
    block_on(create).expect("a database can be created");
    std::fs::read(&path).expect("the database can be read")
}

fn standard(criterion: &mut Criterion) {
    let system = standard_system();
    let plans = plans(&system);
    let floors: Vec<Floor> = plans.iter().map(|plan| Floor::of(&system, plan)).collect();
    for (plan, floor) in plans.iter().zip(&floors) {
        let (statements, writes) = floor.counts();
        let events = standard_run(&system, plan).history.events.len();
        println!(
            "{}: {:.1} s of virtual time, {} hosts, {statements} statements, {writes} writes to \
             sockets, {events} events of history",
            plan.seed,
            floor.virtual_time.as_secs_f64(),
            floor.hosts.len(),
        );
    }
    let mut group = criterion.benchmark_group("one run");
    group
        .sample_size(2 * PLANS as usize)
        .measurement_time(Duration::from_secs(20));
    let mut turn = plans.iter().cycle();
    let mut next = || turn.next().expect("a cycle does not end");
    group.bench_function("standard", |bencher| {
        bencher.iter_batched(
            &mut next,
            |plan| standard_run(&system, plan),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("without recording and checking", |bencher| {
        let unrecorded =
            |plan| run(&system, plan, Recording::Off).expect("a run comes to a result");
        bencher.iter_batched(&mut next, unrecorded, BatchSize::PerIteration);
    });
    let mut turn = floors.iter().cycle();
    let mut next = || turn.next().expect("a cycle does not end");
    group.bench_function("floor", |bencher| {
        bencher.iter_batched(&mut next, |floor| floor.run(), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, standard);
criterion_main!(benches);
