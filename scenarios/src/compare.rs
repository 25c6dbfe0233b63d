//! Publish patterns compared: the same seeds, the same orders and the same faults for each.
//!
//! Reading order: `contenders` what is compared, `adversity` what befalls them, `sample` what one run showed, `wall_time` the only
//! part that is measured on the wall clock.

mod adversity;
mod contenders;
mod sample;
mod wall_time;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stormglass::Seed;
use stormglass::plan::Fault;
use stormglass::simulation::{Recording, Run, RunError, run};
use stormglass_reports::Comparison;
use stormglass_reports::comparison::{
    Cell, Difference, Discordance, FaultSet, Latency, Pair, PatternFacts,
};

pub use adversity::{ADVERSITIES, Adversity};
use contenders::{CONTENDERS, Contender};
use sample::{Sample, When};
pub use wall_time::{WallTime, wall_times};

use crate::incidents::sale::{self, Sale, millis};

/// The load of every run.
const LOAD: Sale = Sale {
    from: Duration::from_secs(1),
    lasts: Duration::from_secs(12),
    orders: 4,
};

/// What is compared on how many seeds, and how.
pub struct Comparing<'a> {
    /// The sets of faults.
    pub adversities: Vec<&'static Adversity>,
    /// The first seed; the others follow one by one.
    pub first: Seed,
    /// How many seeds each cell has.
    pub seeds: u64,
    /// How many runs at once.
    pub jobs: usize,
    /// Set by somebody else to stop after the seeds that are under way.
    pub interrupted: &'a AtomicBool,
    /// Called when all patterns have run one seed under all sets of faults.
    pub progress: &'a (dyn Fn() + Sync),
}

/// What each pattern showed on one seed, set of faults by set of faults.
type Showing = Vec<Vec<Sample>>;

impl Comparing<'_> {
    /// Runs every pattern on every seed under every set of faults.
    ///
    /// # Errors
    ///
    /// See [`RunError`]: some run came to no result.
    pub fn compare(&self) -> Result<Comparison, RunError> {
        let seeds = self.showings()?;
        let (mut cells, mut pairs) = (Vec::new(), Vec::new());
        for (set, adversity) in self.adversities.iter().enumerate() {
            let rows: Vec<&Vec<Sample>> = seeds.iter().map(|own| &own[set]).collect();
            let of_set = cells_of(adversity, &rows);
            pairs.extend(self.pairs_of(&of_set, &rows));
            cells.extend(of_set);
        }
        Ok(Comparison {
            version: Comparison::VERSION,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            first_seed: self.first.0,
            seeds: seeds.len() as u64,
            orders: LOAD.orders,
            orders_over_ms: millis(LOAD.lasts),
            interrupted: (seeds.len() as u64) < self.seeds,
            patterns: facts(self.first)?,
            faults: self.adversities.iter().map(|own| set(own)).collect(),
            cells,
            pairs,
        })
    }

    /// What each seed showed, without a gap, and up to an interruption.
    fn showings(&self) -> Result<Vec<Showing>, RunError> {
        let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let done = Mutex::new(BTreeMap::new());
        let work = || {
            while !self.interrupted.load(Ordering::Relaxed) && !failed.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.seeds {
                    return;
                }
                let showing = self.showing(Seed(self.first.0 + number));
                failed.fetch_or(showing.is_err(), Ordering::Relaxed);
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.insert(number, showing);
                (self.progress)();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut showings = Vec::new();
        for (number, showing) in done {
            let showing = showing?;
            if number == showings.len() as u64 {
                showings.push(showing);
            }
        }
        Ok(showings)
    }

    fn showing(&self, seed: Seed) -> Result<Showing, RunError> {
        let mut sets: Showing = self.adversities.iter().map(|_| Vec::new()).collect();
        for contender in CONTENDERS {
            // What meets none of a set's faults runs as it does without any.
            let mut calm: Option<Run> = None;
            for (adversity, samples) in self.adversities.iter().zip(&mut sets) {
                let faults = adversity.faults(seed, contender);
                let struck = match faults.is_empty() {
                    true => None,
                    false => Some(run_of(contender, seed, faults)?),
                };
                if struck.is_none() && calm.is_none() {
                    calm = Some(run_of(contender, seed, Vec::new())?);
                }
                let runs = struck.iter().chain(&calm).take(1);
                let when = When {
                    begins: adversity.begins(seed),
                    window: adversity.window(seed),
                };
                samples.extend(runs.map(|run| Sample::of(run, &when, contender.uses_broker())));
            }
        }
        Ok(sets)
    }

    /// How every two patterns differ on the same seeds, given the cells of one set and what all patterns showed on each seed.
    fn pairs_of(&self, cells: &[Cell], rows: &[&Vec<Sample>]) -> Vec<Pair> {
        let pair = |this: usize, other: usize| {
            let mut lost = Discordance::default();
            for row in rows {
                lost.add(row[this].lost > 0, row[other].lost > 0);
            }
            let times = rows.iter();
            let times: Vec<_> = times
                .map(|row| (&row[this].effects[..], &row[other].effects[..]))
                .collect();
            Pair {
                faults: cells[this].faults.clone(),
                this: cells[this].pattern.clone(),
                other: cells[other].pattern.clone(),
                lost,
                effect: Difference::of(&times, self.first.0),
            }
        };
        let met: Vec<usize> = (0..cells.len()).filter(|at| cells[*at].is_met()).collect();
        let pairs = met.iter().enumerate().flat_map(|(rank, other)| {
            let later = met[rank + 1..].iter();
            later.map(move |this| (*this, *other))
        });
        pairs.map(|(this, other)| pair(this, other)).collect()
    }
}

/// Every pattern's cell, given what all of them showed on each seed.
fn cells_of(adversity: &Adversity, rows: &[&Vec<Sample>]) -> Vec<Cell> {
    let cell = |(place, contender): (usize, &Contender)| {
        let samples: Vec<&Sample> = rows.iter().map(|row| &row[place]).collect();
        let mut cell = Cell {
            pattern: contender.name.to_owned(),
            faults: adversity.name.to_owned(),
            ..Cell::default()
        };
        for own in &samples {
            own.add_to(&mut cell);
        }
        let all = |of: fn(&Sample) -> &Vec<Option<u64>>| {
            samples.iter().flat_map(|own| of(own)).copied().collect()
        };
        cell.answer = Latency::of(all(|own| &own.answers));
        cell.effect = Latency::of(all(|own| &own.effects));
        let noticed = samples.iter().filter_map(|own| own.noticed);
        cell.noticed = Latency::of(noticed.collect());
        cell
    };
    CONTENDERS.iter().enumerate().map(cell).collect()
}

fn run_of(contender: &Contender, seed: Seed, faults: Vec<Fault>) -> Result<Run, RunError> {
    let plan = sale::plan(seed, &[LOAD], faults);
    run(&contender.system(), &plan, Recording::On)
}

fn set(adversity: &Adversity) -> FaultSet {
    FaultSet {
        name: adversity.name.to_owned(),
        about: adversity.about.to_owned(),
    }
}

/// What runs for each pattern, counted in a run without faults.
fn facts(seed: Seed) -> Result<Vec<PatternFacts>, RunError> {
    let facts = CONTENDERS.iter().map(|contender| {
        let run = run_of(contender, seed, Vec::new())?;
        Ok(PatternFacts {
            name: contender.name.to_owned(),
            about: contender.about.to_owned(),
            processes: sample::processes(&run),
            databases: contender.system().databases().len() as u64,
            broker: contender.uses_broker(),
        })
    });
    facts.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use stormglass::Seed;
    use stormglass_reports::Comparison;

    use super::{ADVERSITIES, Comparing};

    fn compared(names: &[&str], jobs: usize) -> Comparison {
        let wanted = ADVERSITIES.iter().filter(|own| names.contains(&own.name));
        let comparing = Comparing {
            adversities: wanted.collect(),
            first: Seed(0),
            seeds: 2,
            jobs,
            interrupted: &AtomicBool::new(false),
            progress: &|| {},
        };
        comparing.compare().expect("every run comes to a result")
    }

    #[test]
    fn an_outage_costs_the_direct_way_orders_and_the_outbox_none() {
        let comparison = compared(&["none", "outage"], 2);
        let lost = |pattern, faults| {
            let cell = comparison.cell(pattern, faults).expect("it was run");
            assert!(cell.accepted > 0, "{cell:?}");
            cell.orders_lost.total
        };
        for pattern in &comparison.patterns {
            assert_eq!(lost(&pattern.name, "none"), 0, "{}", pattern.name);
            let cell = comparison.cell(&pattern.name, "none").expect("it was run");
            let wrong = [
                cell.books_wrong,
                cell.inversions,
                cell.effects_twice,
                cell.ghosts,
            ];
            assert!(wrong.iter().all(|own| own.total == 0), "{cell:?}");
            assert_eq!((cell.effect.never, cell.paged), (0, 0), "{cell:?}");
        }
        assert_eq!(lost("outbox", "outage"), 0);
        assert_eq!(lost("cdc", "outage"), 0);
        assert!(lost("direct", "outage") > 0);
        let told = |pattern| {
            let cell = comparison.cell(pattern, "outage").expect("it was run");
            cell.noticed.count - cell.noticed.never
        };
        assert!(told("outbox") > 0 && told("cdc") > 0);
        assert_eq!(told("direct"), 0, "what is in no table is seen by nobody");

        let pairs = comparison.pairs.iter();
        let of_outage: Vec<_> = pairs.filter(|own| own.faults == "outage").collect();
        assert_eq!(of_outage.len(), 10, "two of seven meet no broker's outage");
        let direct = of_outage
            .iter()
            .find(|own| (own.this.as_str(), own.other.as_str()) == ("direct", "cdc"))
            .expect("both met it");
        assert!(direct.lost.only_this > 0 && direct.lost.only_other == 0);
    }

    #[test]
    fn the_same_seeds_give_the_same_bytes_whoever_shares_the_work() {
        let [one, two] = [1, 2].map(|jobs| compared(&["producer-dies"], jobs));
        assert_eq!(one.json(), two.json());
        assert_eq!(one.page(), two.page());
        assert_eq!(one.markdown(), two.markdown());
        assert_eq!(one.drawings(), two.drawings());
    }

    #[test]
    fn what_is_published_is_of_these_patterns_and_faults() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../reports/published/comparison.json"
        );
        let document = std::fs::read_to_string(path).expect("it is published");
        let published: Comparison = serde_json::from_str(&document).expect("it is a comparison");
        let sets: Vec<_> = ADVERSITIES.iter().map(super::set).collect();
        assert_eq!(published.faults, sets);
        let patterns = published
            .patterns
            .iter()
            .map(|own| (&*own.name, &*own.about));
        let own = super::CONTENDERS.iter().map(|own| (own.name, own.about));
        assert!(patterns.eq(own), "the patterns are other ones by now");
        assert_eq!(
            (published.orders, published.interrupted),
            (super::LOAD.orders, false)
        );
    }
}
