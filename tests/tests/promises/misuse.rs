//! What is wrong with a test, and not with the system under test, is said in one line and never taken
//! for a verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::strategy::Just;
use stormglass::checker::{Convergence, EffectOnce};
use stormglass::database::{Database, Probe};
use stormglass::history::What;
use stormglass::plan::{Fault, Incident};
use stormglass::simulation::{Recording, Run, RunError, Settings, run};
use stormglass::{Group, Machine, Seed, System};
use tokio::net::TcpStream;

use crate::pool;

/// A system of one host, which runs `service`, and one operation, which runs `operation`.
fn system<S, F, O, G>(database: Database, service: S, operation: O) -> System
where
    S: Fn(Machine) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + 'static,
    O: Fn(u8) -> G + Send + Sync + 'static,
    G: Future<Output = Result<(), String>> + 'static,
{
    System::new("misused")
        .database(database)
        .host("worker", service)
        .operations(|| Just(0_u8), operation)
        .property(EffectOnce)
}

fn notes() -> Database {
    Database::new(
        "notes",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)",
    )
}

async fn idle(_: Machine) -> Result<(), String> {
    std::future::pending().await
}

async fn nothing(_: u8) -> Result<(), String> {
    Ok(())
}

/// Writes a row, so that probes have something to look at.
async fn write(machine: Machine) -> Result<(), String> {
    let notes = pool::connect(machine.url("notes"));
    let notes = notes.await.map_err(|e| e.to_string())?;
    let insert = sqlx::query("INSERT INTO notes (note) VALUES ('a')");
    insert.execute(&notes).await.map_err(|e| e.to_string())?;
    idle(machine).await
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
fn work_that_is_owed_by_a_query_that_cannot_be_read_is_named() {
    let database = notes().owes("jobs", "SELECT nonsense FROM notes");
    let error = first_seed(&system(database, write, nothing)).unwrap_err();
    assert!(matches!(error, RunError::Probe { .. }), "{error}");
    assert!(error.to_string().contains("nonsense"), "{error}");
}

#[test]
fn an_assertion_that_fails_in_an_operation_fails_the_test() {
    let panicking = |_: u8| async { panic!("three is not four") };
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
            good().host("worker", idle),
            "host `worker` is declared twice",
        ),
        (
            good().host("client", idle),
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
            good().host("worker-2", idle).instances("worker", 1..=2),
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
            good().host("front desk", idle),
            "host \"front desk\" cannot be named so: a name has letters, digits, `-`, `_` and `.`",
        ),
        (
            good().topic("\t", 1),
            "topic \"\\t\" cannot be named so: a name is not empty and has no control characters",
        ),
        (
            settings(|own| own.quiet = Duration::ZERO),
            "the setting `quiet` is zero",
        ),
        (
            settings(|own| own.latency_min = Duration::from_secs(1)),
            "the setting `latency_min` (1s) is above `latency_max` (10ms)",
        ),
        (
            System::new("empty").operations(|| Just(0_u8), nothing),
            "it has no host to test: call `System::host`; it promises nothing: call `System::property`",
        ),
    ];
    for (system, told) in table {
        let error = system.try_check().unwrap_err().to_string();
        assert_eq!(error, format!("{}: {told}", system.name()));
    }
    assert!(good().generator().is_ok());
    let two = good().topic("orders", 1).host("worker", idle);
    let error = two.generator().err().map(|error| error.to_string());
    let told = "topic `orders` is declared twice; host `worker` is declared twice";
    assert_eq!(error.as_deref(), Some(told));
}

/// A service that never gets past its start is no verdict on anything.
#[test]
fn a_host_that_cannot_start_is_named_with_its_error() {
    async fn failing(_: Machine) -> Result<(), String> {
        Err("no configuration".to_owned())
    }
    fn panicking(_: Machine) -> std::future::Ready<Result<(), String>> {
        panic!("in the function that makes the service")
    }
    async fn lost(machine: Machine) -> Result<(), String> {
        let _ = machine.url("ntoes");
        idle(machine).await
    }
    async fn nested(_: Machine) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime
            .map_err(|e| e.to_string())?
            .block_on(async { Ok(()) })
    }
    async fn outside(_: Machine) -> Result<(), String> {
        let answer = TcpStream::connect("mail.example.com:25").await;
        answer.map(drop).map_err(|error| error.to_string())
    }
    for (system, told) in [
        (system(notes(), failing, nothing), "no configuration"),
        (
            system(notes(), panicking, nothing),
            "panicked: in the function that makes the service",
        ),
        (
            system(notes(), lost, nothing),
            "panicked: no database `ntoes`; the system has: notes",
        ),
        (
            system(notes(), nested, nothing),
            "panicked: Cannot start a runtime from within a runtime",
        ),
        (
            system(notes(), outside, nothing),
            "failed to lookup address information: Name or service not known",
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
    let running = move |machine: Machine| {
        let service = service(own.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            service.await;
            idle(machine).await
        }
    };
    let impatient = Settings {
        patience: Duration::from_millis(400),
        ..Settings::default()
    };
    let error = first_seed(&system(notes(), running, nothing).settings(impatient)).unwrap_err();
    over.store(true, Ordering::Relaxed);
    assert!(matches!(error, RunError::Machine(_)), "{error}");
    error.to_string()
}

#[test]
fn a_host_that_spins_is_named_after_a_while() {
    let is_over = |over: &Over| over.load(Ordering::Relaxed);
    let busy = [
        hangs(move |over| async move {
            while !is_over(&over) {
                std::hint::spin_loop();
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
        let told =
            "worker has kept the run for 400ms without waiting for anything; before that it ";
        assert!(text.starts_with(told), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// The tasks of one runtime give way to each other, and to time.
#[test]
fn a_host_that_spins_and_gives_way_keeps_nobody_from_going_on() {
    let yielding = |machine: Machine| async move {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) {
            tokio::task::yield_now().await;
        }
        tracing::info!("it is over");
        idle(machine).await
    };
    let run = first_seed(&system(notes(), yielding, nothing)).unwrap();
    let said =
        |what: &What| matches!(what, What::Logged { message, .. } if message == "it is over");
    let over = run.history.events.iter().find(|event| said(&event.what));
    let at = over.expect("it comes to an end").at;
    assert!(at >= Duration::from_millis(50), "{at:?}");
}

#[test]
fn a_link_to_an_address_outside_of_the_system_is_no_target() {
    let calling = |machine: Machine| async move {
        for address in ["10.9.8.7:80", "mail.example.com:25", "192.168.0.1:80"] {
            let connecting = TcpStream::connect(address);
            let _ = tokio::time::timeout(Duration::from_millis(100), connecting).await;
        }
        write(machine).await
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
