//! thin
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
/// x
pub fn main() -> ExitCode {
    let a: Vec<String> = std::env::args().collect();
    let n: u64 = a.get(2).map_or(5, |x| x.parse().unwrap());
    for s in crate::catalogue::CATALOGUE.iter().filter(|s| a.get(1).is_none_or(|n| n == "all" || n == s.name)) {
        let system = s.system();
        let t = std::time::Instant::now();
        let tally = stormglass::explore::explore(&system, &stormglass::explore::Exploration {
            first: stormglass::Seed(0), seeds: n, jobs: 2, until: stormglass::explore::Until::AllSeeds, interrupted: &AtomicBool::new(false), progress: &|| {},
        });
        match tally {
            Ok(t2) => {
                println!("{} {} seeds {:?} virtual {:?}", s.name, t2.seeds, t.elapsed(), t2.virtual_time);
                println!("  {:?}", t2.faults.iter().map(|(k, c)| format!("{k} {}/{}", c.planned, c.bitten)).collect::<Vec<_>>());
                println!("  {:?}", t2.properties.iter().map(|(k, c)| format!("{k} {}/{}/{}", c.holds, c.broken, c.vacuous)).collect::<Vec<_>>());
                for f in t2.failures.values() { println!("  BROKEN {} seed {} {}", f.property, f.plan.seed, f.witness); }
            }
            Err(e) => println!("{} error {e}", s.name),
        }
    }
    ExitCode::SUCCESS
}
