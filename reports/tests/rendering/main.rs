//! What people and programs are shown, as snapshots of whole texts and as rules that every text keeps.
//!
//! The reports are made by hand in `samples`: nothing is run here.

mod comparison;
mod failure;
mod journey;
mod json;
mod junit;
mod merge;
mod published;
mod samples;
mod story;
mod sweep;
mod timeline;
