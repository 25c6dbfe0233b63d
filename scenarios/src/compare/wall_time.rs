//! Wall time: what an order really costs this machine, on either database. It is the one part that does not repeat.

use std::time::{Duration, Instant};

use stormglass::Seed;
use stormglass::database::Engine;
use stormglass::simulation::{Recording, RunError, run};

use super::LOAD;
use super::contenders::{CONTENDERS, Contender};
use crate::incidents::sale;

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
    let sqlite = on(Engine::Sqlite)?;
    let postgres = match has_postgres {
        true => on(Engine::Postgres)?.into_iter().map(Some).collect(),
        false => vec![None; CONTENDERS.len()],
    };
    let times = CONTENDERS.iter().zip(sqlite.into_iter().zip(postgres));
    let time = |(contender, (sqlite, postgres)): (&Contender, _)| WallTime {
        pattern: contender.name,
        sqlite,
        postgres,
    };
    Ok(times.map(time).collect())
}

/// What an order of each contender takes; they take turns, so that a machine that is slow for a while is so for all.
fn on(engine: Engine) -> Result<Vec<Duration>, RunError> {
    let mut taken = vec![Vec::new(); CONTENDERS.len()];
    for seed in 0..=SEEDS {
        for (contender, taken) in CONTENDERS.iter().zip(&mut taken) {
            let plan = sale::plan(Seed(seed), &[LOAD], Vec::new());
            let begun = Instant::now();
            run(&contender.system().on(engine), &plan, Recording::Off)?;
            if seed > 0 {
                taken.push(begun.elapsed());
            }
        }
    }
    let orders = u32::try_from(LOAD.orders).unwrap_or(1);
    let median = |mut taken: Vec<Duration>| {
        taken.sort();
        taken[taken.len() / 2] / orders
    };
    Ok(taken.into_iter().map(median).collect())
}
