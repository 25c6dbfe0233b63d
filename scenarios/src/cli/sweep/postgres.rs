//! PostgreSQL's share of the standard sweep: a few scenarios, because SQLite has one writer at a time and so hides races
//! that PostgreSQL shows.

use stormglass::database::Engine;

use super::super::output::complain;
use crate::catalogue::Scenario;

/// Scenarios whose faults and loads make transactions meet.
const SCENARIOS: [&str; 3] = ["calm", "database-faults", "everything"];

/// Seeds of each of them. A run costs several times as much as on SQLite.
pub(super) const SEEDS: u64 = 10;

/// The scenarios; none, and a line that says so, where no server can be had.
pub(super) fn scenarios() -> Vec<&'static Scenario> {
    match Engine::Postgres.prepare() {
        Ok(()) => SCENARIOS
            .iter()
            .filter_map(|name| Scenario::find(name))
            .collect(),
        Err(why) => {
            complain(&format!("stormglass: PostgreSQL was left out: {why}"));
            Vec::new()
        }
    }
}
