//! System clocks that are wrong, on some hosts, for a time.
#![expect(
    clippy::disallowed_methods,
    reason = "a service asks the clock, which is its machine's"
)]

use std::time::{Duration, Instant, SystemTime};

use stormglass::plan::Incident;
use stormglass::{Machine, System};
use tokio::time::sleep;

use super::{Seen, Stage, idle};

/// Says every half second what the system clock shows, and how much time has passed, in seconds since it
/// began; from a task of its own, as services have many.
async fn tell_the_time(_: Machine) -> Result<(), String> {
    let telling = tokio::spawn(async {
        let (began, shown) = (Instant::now(), SystemTime::now());
        for _ in 0..6 {
            sleep(Duration::from_millis(500)).await;
            let passed = began.elapsed().as_secs_f64();
            let shown = match SystemTime::now().duration_since(shown) {
                Ok(ahead) => ahead.as_secs_f64(),
                Err(behind) => -behind.duration().as_secs_f64(),
            };
            tracing::info!("{shown:.1} after {passed:.1}");
        }
    });
    telling.await.map_err(|error| error.to_string())?;
    idle().await
}

fn wrong(host: &str, ahead_ms: i64) -> Incident {
    Incident::ClockSkew {
        host: host.to_owned(),
        ahead_ms,
        for_ms: 1_000,
    }
}

const RIGHT: [&str; 6] = [
    "0.5 after 0.5",
    "1.0 after 1.0",
    "1.5 after 1.5",
    "2.0 after 2.0",
    "2.5 after 2.5",
    "3.0 after 3.0",
];

fn stage() -> Stage {
    let system = System::new("clocks").host("ada", tell_the_time);
    Stage::of(system.host("ben", tell_the_time))
}

fn told_by_ada(seen: &Seen) -> Vec<&str> {
    assert_eq!(seen.said("ben"), RIGHT, "{}", seen.text());
    seen.said("ada")
}

#[test]
fn a_wrong_clock_jumps_and_jumps_back_on_one_host() {
    let ahead = stage().at_ms(1_200, wrong("ada", 2_000)).run();
    let mut expected = RIGHT;
    expected[2] = "3.5 after 1.5";
    expected[3] = "4.0 after 2.0";
    assert_eq!(told_by_ada(&ahead), expected);

    let behind = stage().at_ms(1_200, wrong("ada", -1_700)).run();
    expected[2] = "-0.2 after 1.5";
    expected[3] = "0.3 after 2.0";
    assert_eq!(told_by_ada(&behind), expected);
}

#[test]
fn two_wrong_clocks_of_one_host_add_up() {
    let twice = stage()
        .at_ms(1_200, wrong("ada", 2_000))
        .at_ms(1_600, wrong("ada", -500))
        .run();
    let mut expected = RIGHT;
    expected[2] = "3.5 after 1.5";
    expected[3] = "3.5 after 2.0";
    expected[4] = "2.0 after 2.5";
    assert_eq!(told_by_ada(&twice), expected);
}

#[test]
fn a_wrong_clock_that_nobody_looks_at_has_not_bitten() {
    let system = System::new("idle").host("ada", |_| idle::<String>());
    let stage = Stage::of(system);
    stage.at_ms(100, wrong("ada", 1_000)).run_biting(&[]);
}
