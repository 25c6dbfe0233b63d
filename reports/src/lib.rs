//! What a sweep, a run and a failure say, as plain data, and how people and programs are shown it.
//!
//! In reading order:
//! - [`SweepReport`]: many seeds of many scenarios, counted; rendered by [`terminal`], [`markdown`], [`json`], [`junit`] and, as a page,
//!   [`sweep_page`]; sweeps of shards become one by [`merge`];
//! - [`FailureReport`]: one broken property and its minimal cause, as the text that a failing test prints;
//! - [`GreenReport`]: the one line of evidence that a test gives which holds;
//! - [`Story`]: a failure with all that its run shows, rendered as a page, and for other viewers by [`export`];
//! - [`Comparison`]: publish patterns side by side, under the same faults;
//! - [`Panics`]: where the system panicked, in how many seeds;
//! - [`Timeline`]: one run, row by row;
//! - [`seed`]: how a seed is written, everywhere.
//!
//! Deliberately absent: this package runs nothing and decides no verdict. It adds up counts that it is given. It
//! reads no clock, no environment and no terminal, writes no file and uses no colour, so that equal reports are
//! equal bytes.

pub mod comparison;
pub mod export;
mod failure;
mod failure_rate;
mod figures;
mod green;
mod html;
mod journey;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod merge;
mod panics;
mod paragraph;
pub mod seed;
mod shard;
mod signature;
pub mod story;
mod sweep;
pub mod sweep_page;
pub mod terminal;
mod timeline;
mod totals;
mod verdict;

pub use comparison::Comparison;
pub use failure::{CauseLine, FailureReport, NameLine};
pub use failure_rate::FailureRate;
pub use green::GreenReport;
pub use journey::{Hop, Journey};
pub use panics::Panics;
pub use shard::{BadShard, Shard};
pub use signature::Signature;
pub use story::Story;
pub use sweep::{Database, FaultCount, PropertyCount, ScenarioReport, SweepReport};
pub use timeline::{RowKind, Timeline, TimelineRow, VerdictLine};
pub use verdict::VerdictWord;
