//! Processes: how they stop, stand still and are started again, their clocks, their environment and their names.
#![expect(
    clippy::disallowed_methods,
    reason = "a service asks the clock, which is its machine's"
)]

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use axum::routing::get;
use stormglass::history::What;
use stormglass::plan::{Incident, Restarted};
use stormglass::{Machine, System};

use super::Stage;

fn restart(host: &str) -> Incident {
    Incident::Restart {
        of: Restarted::Host(host.to_owned()),
        down_ms: 500,
    }
}

/// Says when it is told to stop, and takes a second to do so.
async fn polite(machine: Machine) -> Result<(), String> {
    tracing::info!("start {}", machine.incarnation());
    machine.terminated().await;
    tracing::info!("told to stop");
    tokio::time::sleep(Duration::from_secs(1)).await;
    tracing::info!("done");
    Ok(())
}

#[test]
fn a_service_that_heeds_it_stops_in_good_order() {
    let stage = Stage::of(System::new("polite").host("ada", polite));
    let seen = stage.at_ms(1_000, restart("ada")).run();
    assert_eq!(
        seen.said("ada"),
        ["start 1", "told to stop", "done", "start 2"]
    );
    let stopped = seen.count(|event| event.what == What::HostStopped { error: None });
    assert_eq!(stopped, 1);
}

#[test]
fn a_service_that_takes_too_long_is_stopped() {
    async fn slow(machine: Machine) -> Result<(), String> {
        machine.terminated().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        tracing::info!("done");
        Ok(())
    }
    let stage = Stage::of(System::new("slow").host("ada", slow));
    let seen = stage.at_ms(1_000, restart("ada")).run();
    assert!(seen.said("ada").is_empty());
    let late = |what: &What| matches!(what, What::HostStopped { error: Some(_) });
    assert_eq!(seen.count(|event| late(&event.what)), 1);
}

#[test]
fn a_service_that_heeds_nothing_is_stopped_at_once() {
    async fn deaf(machine: Machine) -> Result<(), String> {
        tracing::info!("start {}", machine.incarnation());
        std::future::pending().await
    }
    let stage = Stage::of(System::new("deaf").host("ada", deaf));
    let seen = stage.at_ms(1_000, restart("ada")).run();
    assert_eq!(seen.said("ada"), ["start 1", "start 2"]);
}

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
fn a_wrong_clock_is_wrong_for_its_host_alone() {
    async fn tell_the_time(_: Machine) -> Result<(), String> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        tracing::info!(
            "{}",
            since.map_err(|error| error.to_string())?.as_secs() % 60
        );
        std::future::pending().await
    }
    let system = System::new("clocks")
        .host("ada", tell_the_time)
        .host("ben", tell_the_time);
    let skew = Incident::ClockSkew {
        host: "ada".to_owned(),
        ahead_ms: 30_000,
        for_ms: 3_000,
    };
    let seen = Stage::of(system).at_ms(1_000, skew).run();
    assert_eq!(
        (seen.said("ada"), seen.said("ben")),
        (vec!["32"], vec!["2"])
    );
}

#[test]
fn a_panic_ends_a_service_and_is_told() {
    async fn frail(machine: Machine) -> Result<(), String> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(machine.incarnation() > 1, "the first time is the hardest");
        std::future::pending().await
    }
    let seen = Stage::of(System::new("frail").host("ada", frail)).run();
    assert_eq!(
        seen.said("ada"),
        ["panicked: the first time is the hardest"]
    );
    let exited = |what: &What| matches!(what, What::HostExited { error: Some(_) });
    assert_eq!(seen.count(|event| exited(&event.what)), 1);
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
