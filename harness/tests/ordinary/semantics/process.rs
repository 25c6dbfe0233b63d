//! Processes: how they stand still and panic, their environment and their names.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::routing::get;
use stormglass::history::What;
use stormglass::plan::{CommitFault, Incident, PublishFault};
use stormglass::{Machine, System};

use super::{Seen, Stage, idle};

#[test]
fn a_service_that_stands_still_goes_on_where_it_was() {
    async fn beat(_: Machine) -> Result<(), String> {
        for beat in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tracing::info!("beat {beat}");
        }
        std::future::pending().await
    }
    let pause = Incident::Pause {
        host: "ada".to_owned(),
        for_ms: 5_000,
    };
    let seen = Stage::of(System::new("beat").host("ada", beat))
        .at_ms(1_500, pause)
        .run();
    let times = seen
        .0
        .events
        .iter()
        .filter(|event| matches!(event.what, What::Logged { .. }));
    let times: Vec<u64> = times.map(|event| event.at.as_secs()).collect();
    assert_eq!(times, [1, 6, 7]);
}

#[test]
fn a_panic_ends_a_service_and_is_told() {
    async fn frail(machine: Machine) -> Result<(), String> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(machine.incarnation() > 1, "the first time is the hardest");
        std::future::pending().await
    }
    let seen = Stage::of(System::new("frail").host("ada", frail)).run();
    assert_eq!(panics(&seen), ["the first time is the hardest"]);
    let exited = |what: &What| matches!(what, What::HostExited { error: Some(_) });
    assert_eq!(seen.count(|event| exited(&event.what)), 1);
}

#[test]
fn a_panic_that_nobody_notices_is_told_with_its_place_and_ends_nothing() {
    #[expect(clippy::disallowed_methods, reason = "they are those of the run")]
    async fn spawning(_: Machine) -> Result<(), String> {
        drop(tokio::spawn(async { panic!("the task") }));
        drop(tokio::task::spawn_blocking(|| panic!("the pool")));
        drop(std::thread::spawn(|| panic!("the thread")));
        idle().await
    }
    let seen = Stage::of(System::new("spawning").host("ada", spawning)).run();
    let mut said = panics(&seen);
    said.sort_unstable();
    assert_eq!(said, ["the pool", "the task", "the thread"]);
    for (_, place) in panicked(&seen) {
        let (file, line) = place.split_once(':').unwrap();
        assert!(
            file.ends_with("tests/ordinary/semantics/process.rs"),
            "{place}"
        );
        assert!(line.split_once(':').is_some(), "{place}");
    }
    let exited = |what: &What| matches!(what, What::HostExited { .. });
    assert_eq!(seen.count(|event| exited(&event.what)), 0);
}

#[test]
fn what_every_thread_of_a_service_logs_is_told_with_its_flow() {
    #[expect(clippy::disallowed_methods, reason = "they are those of the run")]
    async fn threaded(_: Machine) -> Result<(), String> {
        let span = tracing::info_span!("handling", correlation_id = "flow-1");
        let in_pool = span.clone();
        let pooled = tokio::task::spawn_blocking(move || {
            in_pool.in_scope(|| tracing::info!("in the pool"));
        });
        pooled.await.map_err(|error| error.to_string())?;
        let thread = std::thread::spawn(|| tracing::info!("in a thread"));
        drop(tokio::task::spawn_blocking(|| thread.join()).await);
        idle().await
    }
    let seen = Stage::of(System::new("threaded").host("ada", threaded)).run();
    assert_eq!(seen.said("ada"), ["in the pool", "in a thread"]);
    let flow = seen.first("ada", |what| matches!(what, What::Logged { .. }));
    assert!(
        matches!(&flow.what, What::Logged { correlation_id: Some(own), .. } if own == "flow-1")
    );
}

/// What was said by each panic.
fn panics(seen: &Seen) -> Vec<&str> {
    panicked(seen).map(|(message, _)| message).collect()
}

/// What was said by each panic, and where.
fn panicked(seen: &Seen) -> impl Iterator<Item = (&str, &str)> {
    seen.of("ada").filter_map(|event| match &event.what {
        What::Panicked { message, place } => Some((message.as_str(), place.as_str())),
        _ => None,
    })
}

#[test]
fn a_fault_that_meets_no_call_has_not_bitten() {
    let outage = Incident::ExternalOutage {
        provider: "nobody".to_owned(),
        for_ms: 100,
    };
    let seen = Stage::of(System::new("idle").host("ada", |_| idle::<String>()))
        .strike("ada", 2, CommitFault::Lost)
        .strike("ada", 1, PublishFault::AckLost)
        .at_ms(100, outage)
        .run_biting(&[]);
    let bit = seen.count(|event| matches!(event.what, What::FaultBit { .. }));
    assert_eq!(bit, 0);
}

#[test]
fn the_name_of_a_service_reaches_all_of_its_instances() {
    async fn answer(machine: Machine) -> std::io::Result<()> {
        let name = machine.name().to_owned();
        let routes = axum::Router::new().route("/", get(async || name));
        let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
        axum::serve(listener, routes).await
    }
    async fn ask(_: Machine) -> Result<(), reqwest::Error> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..6 {
            tracing::info!("{}", reqwest::get("http://echo/").await?.text().await?);
        }
        std::future::pending().await
    }
    let system = System::new("echo").host("echo", answer).host("asker", ask);
    let seen = Stage::of(system).instances("echo", 3).run();
    let answers: BTreeSet<&str> = seen.said("asker").into_iter().collect();
    assert_eq!(answers, BTreeSet::from(["echo", "echo-2", "echo-3"]));
}

#[test]
fn a_service_has_an_environment_and_a_folder_of_its_own() {
    async fn look(machine: Machine) -> Result<(), String> {
        let (home, greeting) = (std::env::var("HOME"), std::env::var("GREETING"));
        let notes = machine.folder().join("notes");
        let before = std::fs::read_to_string(&notes).unwrap_or_default();
        std::fs::write(notes, "kept").map_err(|error| error.to_string())?;
        tracing::info!("{} {greeting:?} {before:?}", home.is_ok());
        tokio::time::sleep(Duration::from_secs(1)).await;
        match machine.incarnation() {
            1 => Err("once more".to_owned()),
            _ => std::future::pending().await,
        }
    }
    let system = System::new("home")
        .host("ada", look)
        .variable("ada", "GREETING", "hello");
    let seen = Stage::of(system).run();
    let said = ["false Ok(\"hello\") \"\"", "false Ok(\"hello\") \"kept\""];
    assert_eq!(seen.said("ada"), said);
}
