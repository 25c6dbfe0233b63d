//! The conformance suite of broker profiles: whether a profile keeps what its [`Capabilities`] declare, and what every
//! broker has to keep.
//!
//! [`check`] lets a few hosts use the simple client, under faults where a promise is about them, and compares what they saw
//! with what is declared. Every promise is tested both ways: what is not declared must not be seen either. The one thing
//! that the client cannot be brought to do is to send a publish a second time, so what recognises a publish is asked
//! of the core itself. How the core behaves under random calls, its model's tests judge; whether the model is like the
//! real broker, nobody does but its documentation.
//!
//! ```
//! use stormglass::{Profile, conformance};
//!
//! let profile = Profile::jetstream();
//! conformance::check(&profile, &profile.capabilities()).unwrap();
//! ```

mod consuming;
mod durability;
mod publishing;
mod trial;

use std::fmt;

use crate::broker::{Capabilities, Profile};

/// A promise, and who finds out whether it is kept: `Err` says what was seen instead.
type Promise = (
    &'static str,
    fn(&Profile, &Capabilities) -> Result<(), String>,
);

/// Everything that is promised.
const PROMISES: [Promise; 12] = [
    ("a partition keeps its order", consuming::order),
    ("a group's members share its partitions", consuming::sharing),
    (
        "an acknowledgement settles as far as declared",
        consuming::settling,
    ),
    (
        "a settlement is answered where declared",
        consuming::answering,
    ),
    (
        "a retry comes after its delay, and not before",
        consuming::retrying,
    ),
    (
        "a group has as much in hand as declared",
        consuming::unsettled_max,
    ),
    (
        "an unsettled message of a living member comes again as declared",
        consuming::ack_wait,
    ),
    (
        "a silent member is removed as declared",
        consuming::session_timeout,
    ),
    (
        "what a dead member has not settled comes again",
        durability::dead_member,
    ),
    (
        "what was acknowledged outlives the broker",
        durability::crash,
    ),
    (
        "a full broker refuses and appends nothing",
        publishing::capacity,
    ),
    (
        "a repeated publish is recognised as declared",
        publishing::deduplication,
    ),
];

/// The promises that a profile does not keep, each with what was seen instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unkept(Vec<(&'static str, String)>);

impl Unkept {
    /// The promises.
    pub fn promises(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(promise, _)| *promise)
    }
}

impl fmt::Display for Unkept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.iter();
        let lines: Vec<String> = lines
            .map(|(promise, instead)| format!("not kept: {promise}: {instead}"))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Unkept {}

/// Checks a profile against what it declares.
///
/// # Errors
///
/// The promises that it does not keep.
pub fn check(profile: &Profile, declared: &Capabilities) -> Result<(), Unkept> {
    let unkept = PROMISES.iter().filter_map(|(promise, is_kept)| {
        let instead = is_kept(profile, declared).err()?;
        Some((*promise, instead))
    });
    let unkept: Vec<_> = unkept.collect();
    match unkept.is_empty() {
        true => Ok(()),
        false => Err(Unkept(unkept)),
    }
}
