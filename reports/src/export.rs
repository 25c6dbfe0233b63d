//! A run in the formats of other viewers: [`chrome`] for Perfetto, [`otlp`] for collectors of traces, [`shiviz`] for ShiViz.
//!
//! Times are virtual ones. What a viewer has no place for is left out: each file says what.

pub mod chrome;
pub mod otlp;
pub mod shiviz;
