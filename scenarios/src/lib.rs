//! The reference system under the harness, and the `stormglass` command.
//!
//! Reading order: [`deploy`](mod@deploy) puts the services on simulated hosts, [`workload`] is what
//! clients ask of them, [`money_and_stock`] is the promise that only this system makes,
//! [`catalogue`] puts them together with faults as scenarios, and [`cli`] runs those.

//C
//C
pub mod deploy;
//C
pub mod workload;

//C
pub use deploy::{Deployment, deploy};
//C
