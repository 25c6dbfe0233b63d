//! Wall time: what an order really costs this machine, on either database. It is the one part that does not repeat.

use std::time::{Duration, Instant};

use stormglass::Seed;
use stormglass::database::Engine;
use stormglass::simulation::{Recording, RunError, run};

use super::contenders::CONTENDERS;
use super::{ADVERSITIES, LOAD};

/// How many seeds are timed, after one that is not.
const SEEDS: u64 = 5;

/// What one pattern's order costs.
pub struct WallTime {
    /// The pattern's name.
    pub pattern: &'static str,
    /// The median over runs without faults on SQLite.
    pub sqlite: Duration,
    /// The same on PostgreSQL, where a server can be had.
    pub postgres: Option<Duration>,
}

/// Times an order of each pattern, one run at a time.
///
/// # Errors
///
/// See [`RunError`].
pub fn wall_times() -> Result<Vec<WallTime>, RunError> {
    let has_postgres = Engine::Postgres.prepare().is_ok();
    let times = CONTENDERS.iter().map(|contender| {
        let on = |engine: Engine| -> Result<Duration, RunError> {
            let system = contender.system().on(engine);
            let mut taken = Vec::new();
            for seed in 0..=SEEDS {
                let plan = ADVERSITIES[0].plan(Seed(seed), &LOAD, contender);
                let begun = Instant::now();
                run(&system, &plan, Recording::Off)?;
                taken.push(begun.elapsed());
            }
            taken.remove(0);
            taken.sort();
            let orders = u32::try_from(LOAD.orders).unwrap_or(1);
            Ok(taken[taken.len() / 2] / orders)
        };
        Ok(WallTime {
            pattern: contender.name,
            sqlite: on(Engine::Sqlite)?,
            postgres: match has_postgres {
                true => Some(on(Engine::Postgres)?),
                false => None,
            },
        })
    });
    times.collect()
}
