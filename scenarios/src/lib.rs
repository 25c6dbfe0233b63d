//! The reference system under the harness, and the `stormglass` command.
//!
//! Reading order: [`deploy`](mod@deploy) puts the services on simulated hosts, [`workload`] is what
//! clients ask of them, [`money_and_stock`] is the promise that only this system makes,
//! [`catalogue`] puts them together with faults as scenarios, and [`cli`] runs those.

pub mod catalogue;
pub mod cli;
pub mod deploy;
pub mod money_and_stock;
pub mod workload;

pub use catalogue::Scenario;
pub use deploy::{Deployment, deploy};
pub use money_and_stock::MoneyAndStock;
