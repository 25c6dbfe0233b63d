//! A run is a function of its seed, also of crates that know nothing of the simulation.

use stormglass::Seed;
use stormglass::audit::audit;

use crate::{graphile_worker, pg_task, pgmq};

#[test]
fn each_run_repeats() {
    let systems = [
        graphile_worker::right_system(),
        pg_task::right_system(),
        pgmq::right_system(),
    ];
    for system in &systems {
        for seed in 0..4 {
            let divergence = audit(system, Seed(seed)).unwrap();
            assert!(divergence.is_none(), "{}: {divergence:?}", system.name());
        }
    }
}
