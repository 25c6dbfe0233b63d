//! The same seed gives the same run: beside other runs, after them, and in another process.

use std::process::Command;

use stormglass::simulation::{Recording, run};
use stormglass::{Seed, System};

use crate::{http_and_sqlite, postgres_shop};

/// Tells a process of this test which system's digests it has to print.
const PRINT: &str = "ORDINARY_DIGESTS";

fn systems() -> [(System, u64); 2] {
    [
        (http_and_sqlite::system(), 20),
        (postgres_shop::right_system(), 12),
    ]
}

fn digest(system: &System, seed: u64) -> String {
    let plan = system.plan(Seed(seed)).unwrap();
    run(system, &plan, Recording::On)
        .unwrap()
        .digest()
        .to_string()
}

fn digests(system: &System, seeds: u64) -> Vec<String> {
    (0..seeds).map(|seed| digest(system, seed)).collect()
}

#[test]
fn runs_repeat_beside_others_and_in_another_process() {
    let printed = std::env::var(PRINT).is_ok();
    for (number, (system, seeds)) in systems().iter().enumerate() {
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(|| digests(system, *seeds));
            // The other thread takes the seeds in another order.
            let other = (0..*seeds).rev().map(|seed| digest(system, seed));
            let mut other: Vec<String> = other.collect();
            other.reverse();
            (one.join().unwrap(), other)
        });
        assert_eq!(one, other, "{}", system.name());
        if printed {
            println!("digests {number}: {}", one.join(" "));
            continue;
        }
        let own = std::env::current_exe().unwrap();
        let mut process = Command::new(own);
        let test = "repeats::runs_repeat_beside_others_and_in_another_process";
        process
            .args([test, "--exact", "--nocapture"])
            .env(PRINT, "1");
        let printed = String::from_utf8(process.output().unwrap().stdout).unwrap();
        let wanted = format!("digests {number}: {}", one.join(" "));
        assert!(printed.contains(&wanted), "{wanted}\n{printed}");
    }
}
