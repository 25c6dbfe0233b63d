//! What a witness is asked and told, and what comes of what it answers, seen by an unmodified client.
//!
//! Each test is a server in its own process, with one client that publishes and one that consumes. `script`
//! is the witness: it writes down what it is told, and answers what a test has written for it.

mod deliveries;
mod processes;
mod publishes;
mod script;
mod settlements;
mod simulated;
