//! What is wrong with a test, and not with the system under test, is said in one line and never taken
//! for a verdict.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use proptest::strategy::Just;
use sqlx::Sqlite;
use stormglass::checker::{Convergence, EffectOnce};
use stormglass::database::{Database, Probe};
use stormglass::plan::{Fault, Incident};
use stormglass::simulation::{Recording, Run, RunError, Settings, run};
use stormglass::{Group, Host, Seed, System};

/// A system of one host, which runs `service`, and one operation, which runs `operation`.
fn system<S, F, O, G>(database: Database, service: S, operation: O) -> System
where
    S: Fn(Host) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + 'static,
    O: Fn(Host, u8) -> G + Send + Sync + 'static,
    G: Future<Output = Result<(), String>> + 'static,
{
    System::new("misused")
        .database(database)
        .ported_host("worker", service)
        .ported_operations(|| Just(0_u8), operation)
        .property(EffectOnce)
}

fn notes() -> Database {
    Database::new(
        "notes",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)",
    )
}

async fn idle(_: Host) -> Result<(), String> {
    std::future::pending().await
}

async fn nothing(_: Host, _: u8) -> Result<(), String> {
    Ok(())
}

/// Writes a row, so that probes have something to look at.
async fn write(host: Host) -> Result<(), String> {
    let notes = host
        .database::<Sqlite>("notes")
        .map_err(|e| e.to_string())?;
    let insert = sqlx::query("INSERT INTO notes (note) VALUES ('a')");
    insert.execute(&notes).await.map_err(|e| e.to_string())?;
    idle(host).await
}

fn first_seed(system: &System) -> Result<Run, RunError> {
    run(system, &system.plan(Seed(0))?, Recording::On)
}

#[test]
fn a_probe_that_cannot_be_read_is_no_commit_that_failed() {
    for (query, complaint) in [
        ("SELECT nonsense AS event_id FROM notes", "no such column"),
        ("SELECT note FROM notes", "event_id"),
        (
            "SELECT note AS event_id FROM notes WHERE id > $1",
            "position",
        ),
        (
            "SELECT CAST(note AS BLOB) AS event_id FROM notes",
            "event_id",
        ),
        (
            "SELECT note AS event_id, id AS positoin, note AS entity FROM notes",
            "position, which `positoin` is most likely meant to be",
        ),
        (
            "SELECT note AS event_id, note AS entiy FROM notes",
            "entity, which `entiy` is most likely meant to be",
        ),
    ] {
        let database = notes().probe(Probe::applied(query).by("worker"));
        let error = first_seed(&system(database, write, nothing)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, RunError::Probe { .. }), "{text}");
        assert!(text.contains(query) && text.contains("`notes`"), "{text}");
        assert!(text.contains(complaint), "{text}");
    }
}

#[test]
fn a_table_that_is_named_as_background_exists() {
    let error = first_seed(&system(notes().background("leases"), idle, nothing)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, RunError::Probe { .. }), "{text}");
    assert!(text.contains("no such table: leases"), "{text}");
}

#[test]
fn a_view_that_cannot_be_read_is_named() {
    let database = notes().view("broken", "SELECT nonsense FROM notes");
    let error = first_seed(&system(database, write, nothing)).unwrap_err();
    assert!(matches!(error, RunError::Probe { .. }), "{error}");
}

#[test]
fn a_panic_in_a_spawned_task_is_told_with_its_host_and_place() {
    let spawning = |host: Host| async move {
        tokio::spawn(async { panic!("the spawned one") });
        idle(host).await
    };
    let error = first_seed(&system(notes(), spawning, nothing)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, RunError::Panicked(_)), "{text}");
    for part in ["the spawned one", "host worker", "misuse.rs"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_assertion_that_fails_in_an_operation_fails_the_test() {
    let panicking = |_: Host, _: u8| async { panic!("three is not four") };
    let system = system(notes(), idle, panicking).property(Convergence);
    let run = first_seed(&system).unwrap();
    let verdicts = system.judge(&run.history);
    let (property, verdict) = &verdicts[0];
    let witness = verdict.witness().expect("a breach");
    assert_eq!(property, "operations");
    assert_eq!(witness.summary, "operation 0 panicked: three is not four");
    let allowed = system.operations_may_panic();
    assert!(
        allowed
            .judge(&run.history)
            .iter()
            .all(|(own, _)| own != "operations")
    );
}

/// What is wrong with a description, and what is said about it.
#[test]
fn a_description_that_cannot_be_meant_is_refused_in_one_line() {
    let good = || {
        system(notes(), idle, nothing)
            .topic("orders", 1)
            .group(Group::new("billing", &["orders"]))
    };
    let settings = |change: fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        good().settings(settings)
    };
    let table = [
        (
            good().topic("orders", 2),
            "topic `orders` is declared twice",
        ),
        (
            good().topic("payments", 0),
            "topic `payments` needs at least one partition",
        ),
        (
            good().group(Group::new("billing", &["orders"])),
            "group `billing` is declared twice",
        ),
        (
            good().group(Group::new("audit", &["ordres"])),
            "group `audit` subscribes to topic `ordres`, which does not exist; is `orders` meant?",
        ),
        (
            good().group(Group::new("audit", &["shipments"])),
            "group `audit` subscribes to topic `shipments`, which does not exist; there is: orders",
        ),
        (
            good().group(Group::new("audit", &[])),
            "group `audit` subscribes to no topic",
        ),
        (
            good().database(notes()),
            "database `notes` is declared twice",
        ),
        (
            good().ported_host("worker", idle),
            "host `worker` is declared twice",
        ),
        (
            good().ported_host("client", idle),
            "host `client` has the name of one of the harness' own",
        ),
        (
            good().instances("wroker", 1..=3),
            "`instances` names host `wroker`, which does not exist; is `worker` meant?",
        ),
        (
            good().instances("worker", 0..=3),
            "host `worker` cannot run 0 to 3 times: give a range such as 1..=3",
        ),
        (
            good()
                .ported_host("worker-2", idle)
                .instances("worker", 1..=2),
            "host `worker-2` has the name of an instance of `worker`",
        ),
        (
            good().property(EffectOnce),
            "property `effect-once` is declared twice",
        ),
        (
            good().strike(&["wroker"]),
            "`strike` names host `wroker`, which does not exist; is `worker` meant?",
        ),
        (
            good().background("heart"),
            "`background` names host `heart`, which does not exist; there is: worker",
        ),
        (
            good().database(
                Database::new("other", "CREATE TABLE t (a)")
                    .probe(Probe::applied("SELECT a AS event_id FROM t").by("biling")),
            ),
            "a probe of database `other` shows effects by `biling`, which does not exist; is `billing` meant?",
        ),
        (
            good().database(Database::new("a/b", "")),
            "database \"a/b\" cannot be named so: a name has letters, digits, `-`, `_` and `.`",
        ),
        (
            good().database(Database::new("50%?\n", "")),
            "database \"50%?\\n\" cannot be named so: a name has letters, digits, `-`, `_` and `.`",
        ),
        (
            good().ported_host("front desk", idle),
            "host \"front desk\" cannot be named so: a name has letters, digits, `-`, `_` and `.`",
        ),
        (
            good().topic("\t", 1),
            "topic \"\\t\" cannot be named so: a name is not empty and has no control characters",
        ),
        (
            settings(|own| own.tick = Duration::ZERO),
            "the setting `tick` is zero",
        ),
        (
            settings(|own| own.latency_min = Duration::from_secs(1)),
            "the setting `latency_min` (1s) is above `latency_max` (10ms)",
        ),
        (
            System::new("empty").ported_operations(|| Just(0_u8), nothing),
            "it has no host to test: call `System::host`; it promises nothing: call `System::property`",
        ),
    ];
    for (system, told) in table {
        let error = system.try_check().unwrap_err().to_string();
        assert_eq!(error, format!("{}: {told}", system.name()));
    }
    assert!(good().generator().is_ok());
    let two = good().topic("orders", 1).ported_host("worker", idle);
    let error = two.generator().err().map(|error| error.to_string());
    let told = "topic `orders` is declared twice; host `worker` is declared twice";
    assert_eq!(error.as_deref(), Some(told));
}

/// A service that never gets past its start is no verdict on anything.
#[test]
fn a_host_that_cannot_start_is_named_with_its_error() {
    async fn failing(_: Host) -> Result<(), String> {
        Err("no configuration".to_owned())
    }
    fn panicking(_: Host) -> std::future::Ready<Result<(), String>> {
        panic!("in the function that makes the service")
    }
    async fn lost(host: Host) -> Result<(), String> {
        let wrong = host.database::<Sqlite>("ntoes");
        wrong.map(drop).map_err(|error| error.to_string())
    }
    async fn nested(_: Host) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime
            .map_err(|e| e.to_string())?
            .block_on(async { Ok(()) })
    }
    async fn outside(host: Host) -> Result<(), String> {
        let answer = host.connect("mail.example.com:25").await;
        answer.map(drop).map_err(|error| error.to_string())
    }
    async fn real_socket(host: Host) -> Result<(), String> {
        let answer = tokio::net::TcpStream::connect("127.0.0.1:1").await;
        answer.map_err(|error| error.to_string())?;
        idle(host).await
    }
    for (system, told) in [
        (system(notes(), failing, nothing), "no configuration"),
        (
            system(notes(), panicking, nothing),
            "panicked: in the function that makes the service",
        ),
        (
            system(notes(), lost, nothing),
            "the system has no database `ntoes`; it has: notes",
        ),
        (
            system(notes(), nested, nothing),
            "panicked: Cannot start a runtime from within a runtime",
        ),
        (
            system(notes(), outside, nothing),
            "mail.example.com is no host of the system, and nothing outside of it can be reached",
        ),
        (
            system(notes(), real_socket, nothing),
            "panicked: A Tokio 1.x context was found, but IO is disabled",
        ),
    ] {
        let error = first_seed(&system).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, RunError::NeverUp { .. }), "{text}");
        let begin = "host `worker` cannot be tested: without any fault it ended 3 times as soon as it was \
                     started, the last time with: ";
        assert!(text.starts_with(&format!("{begin}{told}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// Set when nobody needs a run any more that does not end by itself.
type Over = Arc<AtomicBool>;

/// A run of one host that never lets virtual time pass.
fn hangs<S, F>(service: S) -> String
where
    S: Fn(Over) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + 'static,
{
    let over = Over::default();
    let own = over.clone();
    let running = move |host: Host| {
        let service = service(own.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            service.await;
            idle(host).await
        }
    };
    let impatient = Settings {
        patience: Duration::from_millis(400),
        ..Settings::default()
    };
    let error = first_seed(&system(notes(), running, nothing).settings(impatient)).unwrap_err();
    over.store(true, Ordering::Relaxed);
    assert!(matches!(error, RunError::Hang(_)), "{error}");
    error.to_string()
}

#[test]
fn a_host_that_blocks_or_spins_is_named_after_a_while() {
    let is_over = |over: &Over| over.load(Ordering::Relaxed);
    let busy = [
        hangs(move |over| async move {
            while !is_over(&over) {
                std::hint::spin_loop();
            }
        }),
        hangs(move |over| async move {
            while !is_over(&over) {
                tokio::task::yield_now().await;
            }
        }),
        hangs(move |over| async move {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(50) && !is_over(&over) {}
        }),
        hangs(move |over| async move {
            let spin = move || {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(50) && !is_over(&over) {}
            };
            let _ = tokio::spawn(async move { spin() }).await;
        }),
    ];
    for text in busy {
        let told = "host `worker` keeps the run from going on: for 0.4 s of real time its thread has been \
                    busy without a pause, at 0.1";
        assert!(text.starts_with(told), "{text}");
    }
    let asleep = [
        hangs(|_| async {
            let (_sender, receiver) = mpsc::channel::<()>();
            let _ = receiver.recv_timeout(Duration::from_millis(50));
        }),
        hangs(|_| async {
            let (mutex, condition) = (Mutex::new(()), Condvar::new());
            let guard = mutex.lock().unwrap();
            let _ = condition.wait_timeout(guard, Duration::from_millis(50));
        }),
    ];
    for text in asleep {
        let told = "host `worker` keeps the run from going on: for 0.4 s of real time its thread has slept \
                    in a blocking call, at 0.1";
        assert!(text.starts_with(told), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_link_to_an_address_outside_of_the_system_is_no_target() {
    let calling = |host: Host| async move {
        for address in ["10.9.8.7:80", "mail.example.com:25", "192.168.0.1:80"] {
            let _ = host.connect(address).await;
        }
        write(host).await
    };
    let system = system(notes(), calling, nothing);
    for seed in (0..40).map(Seed) {
        let plan = system.plan(seed).unwrap();
        assert!(run(&system, &plan, Recording::On).is_ok(), "{plan}");
    }
}

#[test]
fn a_plan_that_names_a_host_that_does_not_exist_is_refused() {
    let system = system(notes(), idle, nothing);
    let mut plan = system.plan(Seed(0)).unwrap();
    let pause = Incident::Pause {
        host: "ghost".to_owned(),
        for_ms: Duration::from_secs(1).as_millis() as u64,
    };
    plan.schedule = vec![Fault::at(0, pause)];
    let error = run(&system, &plan, Recording::On).unwrap_err();
    assert!(matches!(error, RunError::Misfit(_)), "{error}");
}
