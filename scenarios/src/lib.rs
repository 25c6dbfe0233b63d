//! The reference system under the harness, and the `stormglass` command.
//!
//! Reading order: [`deploy`](mod@deploy) puts the services on simulated hosts, [`workload`] is what
//! clients ask of them, [`money_and_stock`], [`answered_stays`], [`mail_and_charge`], [`partner_told`], [`search_agrees`],
//! [`analytics_counts`] and [`one_trace`] are the
//! promises that only this system makes, [`catalogue`] puts them together with faults as scenarios, [`incidents`]
//! measures designs against each other, [`compare`](mod@compare) ways of publishing under the same faults, and [`cli`] runs those.

pub mod analytics_counts;
pub mod answered_stays;
mod breach;
pub mod catalogue;
pub mod cli;
pub mod compare;
pub mod deploy;
pub mod incidents;
pub mod mail_and_charge;
pub mod money_and_stock;
pub mod one_trace;
pub mod partner_told;
pub mod search_agrees;
pub mod told;
pub mod workload;

#[cfg(test)]
mod test_shop;

pub use analytics_counts::AnalyticsCounts;
pub use answered_stays::AnsweredStays;
pub use catalogue::Scenario;
pub use deploy::{Deployment, deploy};
pub use mail_and_charge::MailAndCharge;
pub use money_and_stock::MoneyAndStock;
pub use one_trace::OneTrace;
pub use partner_told::PartnerTold;
pub use search_agrees::SearchAgrees;
