//! When a healed run is over: background work neither keeps it alive nor hides what is stuck.
//!
//! Each system here is right but for what its test names, and does something all the time that nobody
//! waits for.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use proptest::prelude::*;
use stormglass::check::jobs;
use stormglass::checker::{Convergence, EffectOnce, NoLostEvent};
use stormglass::database::{Database, Probe};
use stormglass::explore::{Exploration, Until, explore};
use stormglass::history::{History, What};
use stormglass::plan::Load;
use stormglass::simulation::{Recording, run};
use stormglass::{Broker, EVENT_ID, Group, Machine, Message, PublishError, Seed, System};
use tokio::time::sleep;

use crate::pool;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SCHEMA: &str = "
    CREATE TABLE visits (id INTEGER PRIMARY KEY, visit TEXT UNIQUE NOT NULL, place TEXT NOT NULL);
    CREATE TABLE beats (host TEXT PRIMARY KEY, beats INTEGER NOT NULL);
    INSERT INTO beats VALUES ('pulse', 0), ('counter', 0);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, event TEXT NOT NULL, place TEXT NOT NULL);
";

const VISITS: &str = "SELECT id AS position, visit AS event_id, place AS entity FROM visits \
                      WHERE id > $1 ORDER BY id";
const OUTBOX: &str = "SELECT id AS position, event AS event_id, place AS entity, 'tickets' AS topic \
                      FROM outbox WHERE id > $1 ORDER BY id";

/// Counts every visit once.
async fn count(machine: Machine) -> Outcome {
    let database = pool::connect(machine.url("gate")).await?;
    let mut visits = Broker::connect().subscribe("counter", &["visits"]).await?;
    loop {
        let visit = visits.next().await?;
        let id = visit.message().event_id().unwrap_or_default();
        let place = &*visit.message().key;
        let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO visits (visit, place) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(id)
            .bind(place)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        visit.ack().await?;
    }
}

async fn visit((number, place): (u32, String)) -> Result<(), PublishError> {
    let id = format!("visit-{number}");
    let visit = Message::new("visits", &place, "hello").header(EVENT_ID, &id);
    Broker::connect().publish(visit).await.map(drop)
}

/// A gate that counts visitors.
fn gate() -> System {
    System::new("gate")
        .topic("visits", 2)
        .group(Group::new("counter", &["visits"]))
        .database(Database::new("gate", SCHEMA).probe(Probe::applied(VISITS).by("counter")))
        .host("counter", count)
        .operations(|| (any::<u32>(), "[a-c]"), visit)
        .load(Load {
            operations_min: 3,
            operations_max: 6,
            ..Load::default()
        })
        .property(EffectOnce)
        .property(Convergence)
}

/// Executes a statement again and again.
async fn repeat(machine: Machine, statement: &'static str, every: Duration) -> Outcome {
    let database = pool::connect(machine.url("gate")).await?;
    loop {
        sqlx::query(statement).execute(&database).await?;
        sleep(every).await;
    }
}

const BEAT: &str = "UPDATE beats SET beats = beats + 1 WHERE host = 'pulse'";

fn with_heartbeat(system: System) -> System {
    system.host("pulse", |machine| {
        repeat(machine, BEAT, Duration::from_millis(100))
    })
}

#[track_caller]
fn holds(system: &System, seeds: u64) {
    let exploration = Exploration {
        first: Seed(0),
        seeds,
        jobs: jobs(),
        until: Until::FirstFailure,
        interrupted: &AtomicBool::new(false),
        progress: &|| {},
    };
    let tally = explore(system, &exploration).unwrap();
    if let Some(failure) = tally.first_failure() {
        panic!("{}", system.report(failure).unwrap());
    }
    assert_eq!(tally.vacuous().count(), 0);
}

#[test]
fn a_heartbeat_that_is_named_as_background_holds() {
    holds(&with_heartbeat(gate()).background("pulse"), 1_000);
}

#[test]
fn a_heartbeat_that_nobody_names_holds() {
    holds(&with_heartbeat(gate()), 1_000);
}

#[test]
fn a_lease_that_is_renewed_holds() {
    const RENEW: &str = "UPDATE beats SET beats = beats + 1 WHERE host = 'counter'";
    let renewing = |machine: Machine| async move {
        let renewal = repeat(machine.clone(), RENEW, Duration::from_millis(400));
        futures::future::try_join(count(machine), renewal)
            .await
            .map(drop)
    };
    let database = Database::new("gate", SCHEMA).probe(Probe::applied(VISITS).by("worker"));
    let system = System::new("leased gate")
        .topic("visits", 2)
        .group(Group::new("counter", &["visits"]))
        .database(database.background("beats"))
        .host("worker", renewing)
        .operations(|| (any::<u32>(), "[a-c]"), visit)
        .property(EffectOnce)
        .property(Convergence);
    holds(&system, 1_000);
}

#[test]
fn a_purge_that_deletes_nothing_holds() {
    const PURGE: &str = "DELETE FROM visits WHERE id < 0";
    let purge = |machine| repeat(machine, PURGE, Duration::from_secs(1));
    holds(&gate().host("purge", purge), 1_000);
}

#[test]
fn a_metric_that_nobody_consumes_holds() {
    async fn measure(_: Machine) -> Outcome {
        loop {
            Broker::connect()
                .publish(Message::new("metrics", "", "1"))
                .await?;
            sleep(Duration::from_secs(1)).await;
        }
    }
    holds(&gate().topic("metrics", 1).host("meter", measure), 1_000);
}

/// The history of a calm run.
fn calm(system: &System) -> History {
    let plan = system.plan(Seed(1)).unwrap().without_faults();
    run(system, &plan, Recording::On).unwrap().history
}

/// How long a calm run took after it was healed, and what it says at its end.
fn end(history: &History) -> (Duration, &What) {
    let mut events = history.events.iter();
    let healed = events.find(|event| event.what == What::HealBegan).unwrap();
    let is_end =
        |what: &What| matches!(what, What::Quiet { .. } | What::LivenessBoundReached { .. });
    let end = events.find(|event| is_end(&event.what)).unwrap();
    (end.at - healed.at, &end.what)
}

#[test]
fn background_work_that_is_left_is_told_and_bounded() {
    let history = calm(&with_heartbeat(gate()));
    let (after, end_of_unnamed) = end(&history);
    let What::Quiet { background } = end_of_unnamed else {
        panic!("{end_of_unnamed}");
    };
    let [told] = &background[..] else {
        panic!("{background:?}");
    };
    assert!(
        told.starts_with("pulse committed to gate ") && told.ends_with(" times"),
        "{told}"
    );
    assert!(after >= Duration::from_secs(9), "{after:?}");
    let history = calm(&with_heartbeat(gate()).background("pulse"));
    let (after, end_of_named) = end(&history);
    assert!(matches!(end_of_named, What::Quiet { .. }), "{end_of_named}");
    assert!(after < Duration::from_secs(3), "{after:?}");
}

/// What `convergence` says of a calm run.
fn complaint(system: System) -> String {
    let system = system.property(NoLostEvent);
    let history = calm(&system);
    let verdicts = system.judge(&history);
    let of_convergence = verdicts.iter().find(|(own, _)| own == "convergence");
    let witness = of_convergence.and_then(|(_, verdict)| verdict.witness());
    witness.expect("a breach of convergence").summary.clone()
}

#[test]
fn an_outbox_that_is_stuck_beside_a_heartbeat_is_what_is_told() {
    const ENTER: &str = "INSERT INTO outbox (event, place) VALUES ('ticket-1', 'a')";
    let enter = |machine: Machine| async move {
        let database = pool::connect(machine.url("gate")).await?;
        if machine.incarnation() == 1 {
            sqlx::query(ENTER).execute(&database).await?;
        }
        sleep(Duration::MAX).await;
        Outcome::Ok(())
    };
    let told = complaint(
        with_heartbeat(System::new("stuck"))
            .topic("tickets", 1)
            .database(Database::new("gate", SCHEMA).probe(Probe::announced(OUTBOX)))
            .host("office", enter)
            .operations(|| Just(0_u8), |_: u8| async { Ok::<(), String>(()) })
            .property(Convergence),
    );
    let stuck = "not quiet at the liveness bound: 1 committed but not published, the first is ticket-1 of a";
    assert_eq!(told, stuck);
}

#[test]
fn a_saga_without_an_end_is_what_is_told() {
    async fn pass_on(_: Machine) -> Outcome {
        let broker = Broker::connect();
        let mut visits = broker.subscribe("passer", &["visits"]).await?;
        loop {
            let visit = visits.next().await?;
            sleep(Duration::from_millis(200)).await;
            broker.publish(visit.message().clone()).await?;
            visit.ack().await?;
        }
    }
    let passed_on = gate()
        .group(Group::new("passer", &["visits"]))
        .host("passer", pass_on);
    let told = complaint(passed_on);
    for part in [
        "not quiet at the liveness bound: ",
        "owed work goes on without an end: ",
        "passer published to visits ",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_host_that_fails_all_the_time_is_what_is_told() {
    let failing = |_| async move {
        let mut visits = Broker::connect().subscribe("audit", &["visits"]).await?;
        visits.next().await?;
        Outcome::Err("cannot read a visit".into())
    };
    let told = complaint(
        gate()
            .group(Group::new("audit", &["visits"]))
            .host("audit", failing),
    );
    let begin = "not quiet at the liveness bound: host audit came to an end by itself ";
    assert!(told.starts_with(begin), "{told}");
    assert!(
        told.contains("times since healing, at last with: cannot read a visit"),
        "{told}"
    );
}

/// A gate where somebody has noted a ticket that is due after `wait`, when it becomes a visit.
fn with_job(wait: Duration) -> System {
    const NOTE: &str = "INSERT INTO outbox (event, place) VALUES ('ticket-1', 'a')";
    const DO: &str = "INSERT INTO visits (visit, place) SELECT event, place FROM outbox";
    const DONE: &str = "DELETE FROM outbox";
    const JOBS: &str = "SELECT event, place FROM outbox ORDER BY id";
    let work = move |machine: Machine| async move {
        let database = pool::connect(machine.url("gate")).await?;
        sqlx::query(NOTE).execute(&database).await?;
        sleep(wait).await;
        for statement in [DO, DONE] {
            sqlx::query(statement).execute(&database).await?;
        }
        sleep(Duration::MAX).await;
        Outcome::Ok(())
    };
    let database = Database::new("gate", SCHEMA).probe(Probe::applied(VISITS).by("office"));
    System::new("jobs")
        .topic("visits", 1)
        .database(database.owes("tickets", JOBS).view("jobs", JOBS))
        .host("office", work)
        .operations(|| Just(0_u8), |_: u8| async { Ok::<(), String>(()) })
        .property(Convergence)
}

#[test]
fn work_that_waits_for_its_time_is_waited_for() {
    let history = calm(&with_job(Duration::from_secs(20)));
    let (after, told) = end(&history);
    assert!(matches!(told, What::Quiet { .. }), "{told}");
    assert!(after >= Duration::from_secs(15), "{after:?}");
    let left = history.events.iter().find_map(|event| match &event.what {
        What::FinalState { rows, .. } => Some(rows.len()),
        _ => None,
    });
    assert_eq!(left, Some(0));
}

#[test]
fn work_that_is_never_done_is_what_is_told() {
    let told = complaint(with_job(Duration::MAX));
    let left = "not quiet at the liveness bound: 1 tickets in `gate`, the first is \
                {\"event\":\"ticket-1\",\"place\":\"a\"}";
    assert_eq!(told, left);
}
